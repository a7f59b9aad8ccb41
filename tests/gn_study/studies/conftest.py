"""A small synthetic task and network that the tests of studies share."""

from collections.abc import Callable

import pytest

from gn_study.studies.configuration import (
    Experiment,
    MeasuringOptions,
    NetworkOptions,
    OptimiserName,
    OptimiserOptions,
    Phase,
)
from gn_study.studies.study_data import StudyData
from gn_study.studies.teacher import teacher_data

RATES: dict[OptimiserName, float] = {
    "gn": 0.5,
    "min_norm_gn": 0.5,
    "sgd": 0.5,
    "momentum": 0.05,
    "adam": 0.01,
}


@pytest.fixture(scope="session")
def teacher() -> StudyData:
    return teacher_data(16, 16, 4, (96, 48, 48), seed=0)


@pytest.fixture(scope="session")
def make_experiment() -> Callable[..., Experiment]:
    """An experiment of a small network with one optimiser."""

    def make(
        name: OptimiserName = "gn",
        epochs: int = 2,
        batch_size: int | None = 32,
        rate: float | None = None,
        measuring: MeasuringOptions | None = None,
        seed: int = 0,
    ) -> Experiment:
        optimiser = OptimiserOptions(name, RATES[name] if rate is None else rate)
        measuring = measuring or MeasuringOptions(
            steps_every=2, kernel_samples=8, representation_samples=16, held_out_samples=24
        )
        network = NetworkOptions(num_blocks=2, hidden=48, init_std=1e-2)
        return Experiment(
            network, (Phase(optimiser, epochs),), batch_size, measuring=measuring, seed=seed
        )

    return make
