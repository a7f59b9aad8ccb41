"""Datasets with leaks planted on purpose."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data.dataset import Dataset, index_tables
from data.reporter import SilentReporter
from data.schema import Role, column
from data.sources.twin import Twin
from returns.audit.findings import Check, Finding

Planter = Callable[..., Dataset]


def plant_column(
    dataset: Dataset,
    values: np.ndarray,
    table: str = "events",
    name: str = "planted",
    role: Role = Role.ORDER,
) -> Dataset:
    """The dataset with one more column; NaN becomes null."""
    planted = pa.array(values, from_pandas=True)
    field = column(name, planted.type, role, "planted")
    return replace(dataset, **{table: getattr(dataset, table).append_column(field, planted)})


@pytest.fixture
def plant() -> Planter:
    return plant_column


@pytest.fixture
def columns_of() -> Callable[..., set[str]]:
    """Names of the columns that findings of a check concern."""

    def names(findings: list[Finding], check: Check) -> set[str]:
        return {name for each in findings if each.check is check for name in each.columns}

    return names


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The synthetic twin at 2 % of the release's size."""
    folder: Path = tmp_path_factory.mktemp("twin")
    return index_tables(Twin(0.02, 0, folder).read(SilentReporter()))[0]
