"""A tiny suite that really runs, and made-up results whose figures are known."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from gn_study.studies.configuration import MeasuringOptions, NetworkOptions
from pipelines import tracking
from pipelines.gauss_newton_study.arms import ADAM, GN, SGD, Setting, rivals
from pipelines.gauss_newton_study.data_options import DataOptions
from pipelines.gauss_newton_study.reading import DataPlaces
from pipelines.gauss_newton_study.run_store import FinishedRun, RunStore
from pipelines.gauss_newton_study.suite_result import SuiteResult
from pipelines.gauss_newton_study.suites import Suite
from pipelines.gauss_newton_study.sweep import SuiteSweep
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display
from pipelines.source_arguments import SourceArguments

TINY_DATA = DataOptions("teacher", 48, 24, 24)


def _tiny_suite(name: str = "tiny", batch_size: int | None = 16, epochs: int = 2) -> Suite:
    """GN, SGD and Adam on 48 generated samples, two rates each, two seeds."""
    setting = Setting(NetworkOptions(num_blocks=1, hidden=24), batch_size, epochs)
    arms = tuple(replace(arm, rates=arm.rates[2:4]) for arm in rivals(setting, (GN, SGD, ADAM)))
    measuring = MeasuringOptions(
        steps_every=1, kernel_samples=4, representation_samples=8, held_out_samples=8
    )
    return Suite(name, TINY_DATA, arms, 2, epochs, measuring, plots=("learning_curves",))


@pytest.fixture(scope="session")
def suite() -> Suite:
    return _tiny_suite()


@pytest.fixture(scope="session")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlaces]:
    """One home for MLflow's database, which takes long to make, and the data places in it."""
    before = os.environ.pop("MLFLOW_TRACKING_URI", None)
    home = Home.prepare(tmp_path_factory.mktemp("study"))
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before
    with progress_display(Console(quiet=True)) as progress:
        yield DataPlaces(None, None, "twin", SourceArguments(), home, ProgressReporter(progress))


def sweep_in(places: DataPlaces, runs: Path, suite: Suite) -> SuiteSweep:
    """A sweep whose finished runs lie in a folder, tracked in the shared home."""
    reporter = places.reporter
    assert isinstance(reporter, ProgressReporter)
    before = os.environ.get("MLFLOW_TRACKING_URI")
    tracking.connect(places.home, "gauss_newton")
    # MLflow may set the variable, which would lead other tests into this home.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before
    return SuiteSweep(suite, places, RunStore(runs), torch.device("cpu"), reporter)


@pytest.fixture
def make_sweep(connected: DataPlaces, tmp_path: Path) -> Callable[[Suite], SuiteSweep]:
    """Sweeps with a store of this test's own."""
    return lambda suite: sweep_in(connected, tmp_path / "runs", suite)


@pytest.fixture(scope="session")
def finished(
    connected: DataPlaces, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SuiteResult, SuiteResult]:
    """A full-batch and a mini-batch suite that have run; the latter with an arm more."""
    runs = tmp_path_factory.mktemp("finished")
    mini = _tiny_suite("tiny-mini-batch")
    arm = replace(mini.arms[0], name="GN, init 0.01", rates=(), rates_of=(GN,))
    full = _tiny_suite("tiny-full-batch", batch_size=None, epochs=3)
    suites = full, replace(mini, arms=(*mini.arms, arm))
    first, second = (sweep_in(connected, runs, suite).run() for suite in suites)
    return first, second


def _made_up_run(
    seed: int,
    epochs: Mapping[str, Sequence[float]],
    steps: Mapping[str, Sequence[float]] | None = None,
    diverged: bool = False,
) -> FinishedRun:
    """A run whose columns are given."""
    number = len(next(iter(epochs.values())))
    return FinishedRun(
        key=f"made-up-{seed}",
        data_name="made up",
        learning_rates=(0.1,),
        seed=seed,
        epochs={
            "epoch": np.arange(number, dtype=float),
            **{name: np.asarray(values, dtype=float) for name, values in epochs.items()},
        },
        steps={name: np.asarray(values, dtype=float) for name, values in (steps or {}).items()},
        grams=None,
        diverged=diverged,
        num_parameters=10,
        seconds=1.0,
    )


def _made_up_result(
    runs: Mapping[str, Sequence[FinishedRun]], batch_size: int | None = 16
) -> SuiteResult:
    """A result of made-up runs."""
    return SuiteResult(_tiny_suite(batch_size=batch_size), {}, {}, runs)


@pytest.fixture(scope="session")
def made_up_run() -> Callable[..., FinishedRun]:
    return _made_up_run


@pytest.fixture(scope="session")
def made_up_result() -> Callable[..., SuiteResult]:
    return _made_up_result
