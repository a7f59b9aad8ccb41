from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.measurement import Measurement


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Everything tiny, in a home of its own."""
    return Settings(scale=0.002, repeats=2, threads=1, epochs=1, seed=0, home=tmp_path)


@pytest.fixture
def require_sound() -> Callable[[list[Measurement]], None]:
    """Sees that there are measurements, none twice, every figure positive and finite."""

    def require(measurements: list[Measurement]) -> None:
        keys = [(row.subject, row.contender, row.quantity) for row in measurements]
        assert keys
        assert len(set(keys)) == len(keys)
        for row in measurements:
            assert np.isfinite(row.values).all(), row
            assert min(row.values) > 0, row

    return require
