"""Figures of single runs."""

from collections.abc import Callable

import numpy as np
import pytest

from pipelines.gauss_newton_study.run_store import FinishedRun
from pipelines.gauss_newton_study.suite_result import (
    EARLY,
    LATE,
    WHOLE,
    SuiteResult,
    after_epoch,
    at_end,
    mean_log,
    mean_of_steps,
)

MakeRun = Callable[..., FinishedRun]


@pytest.fixture
def run(made_up_run: MakeRun) -> FinishedRun:
    return made_up_run(
        0,
        {"train_loss": [4.0, 2.0, 1.0], "ntk_similarity": [1.0, np.nan, 0.5]},
        {"epoch": [0.0, 0.25, 1.0, 1.5, 1.75], "same": [-8.0, -4.0, np.nan, -2.0, -1.0]},
    )


def test_values_at_the_end_and_after_an_epoch(run: FinishedRun, made_up_run: MakeRun) -> None:
    assert at_end("train_loss")(run) == 1.0
    assert np.isnan(at_end("unknown")(run))
    assert after_epoch("train_loss", 1)(run) == 2.0
    assert np.isnan(after_epoch("train_loss", 9)(run))
    broken = made_up_run(0, {"train_loss": [1.0, np.inf]}, diverged=True)
    assert at_end("train_loss")(broken) == np.inf
    assert np.isnan(at_end("ntk_similarity")(broken))


def test_means_over_shares_of_the_training(run: FinishedRun) -> None:
    assert mean_of_steps("same", *EARLY)(run) == pytest.approx(-6.0)
    assert mean_of_steps("same", *LATE)(run) == pytest.approx(-1.5)
    assert mean_of_steps("same", *WHOLE)(run) == pytest.approx(-3.75)
    assert np.isnan(mean_of_steps("other", *WHOLE)(run))
    assert mean_log("train_loss")(run) == pytest.approx(np.log(2) / 2)


def test_seeds_that_all_arms_have(
    made_up_run: MakeRun, made_up_result: Callable[..., SuiteResult]
) -> None:
    runs = {
        "one": [made_up_run(seed, {"x": [float(seed)]}) for seed in (0, 1, 2)],
        "two": [made_up_run(seed, {"x": [10.0 * seed]}) for seed in (2, 1)],
        "none": [],
    }
    result = made_up_result(runs)
    assert result.common_seeds("one", "two") == [1, 2]
    assert result.common_seeds("one", "none") == result.common_seeds("one", "unknown") == []
    assert result.per_seed("two", at_end("x"), [1, 2]).tolist() == [10.0, 20.0]
    assert result.has("one", "two") and not result.has("one", "none")
