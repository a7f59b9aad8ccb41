"""The decisive question answered from intervals."""

from collections.abc import Callable

import pytest

from pipelines.gauss_newton_study.arms import ADAM, EQUAL_STEP, GN, MIN_NORM
from pipelines.gauss_newton_study.decisive import decisive_answer, decisive_intervals
from pipelines.gauss_newton_study.intervals import Interval
from pipelines.gauss_newton_study.run_store import FinishedRun
from pipelines.gauss_newton_study.suite_result import SuiteResult

Intervals = Callable[[float, float, float, float], dict[str, Interval]]


@pytest.fixture
def intervals(
    made_up_run: Callable[..., FinishedRun], made_up_result: Callable[..., SuiteResult]
) -> Intervals:
    """Intervals where the paper's inverse, the minimum norm, it at an equal rate and Adam end."""

    def losses(value: float) -> list[FinishedRun]:
        return [
            made_up_run(
                seed, {"test_loss": [1.0, value + 0.001 * seed], "train_loss": [1.0, value]}
            )
            for seed in range(3)
        ]

    def make(paper: float, minimum: float, equal: float, adam: float) -> dict[str, Interval]:
        ends = {GN: paper, MIN_NORM: minimum, EQUAL_STEP: equal, ADAM: adam}
        return decisive_intervals(
            made_up_result({name: losses(value) for name, value in ends.items()})
        )

    return make


def test_every_figure_that_the_runs_allow(intervals: Intervals) -> None:
    found = intervals(0.8, 0.5, 0.6, 0.4)
    assert {"test loss", "test loss, equal steps", "training loss", "against Adam"} <= set(found)
    assert "weight motion, equal steps" not in found
    assert found["test loss"].low > 0


def test_the_paper_inverse_is_worse_and_the_distance_to_adam_remains(intervals: Intervals) -> None:
    answer = decisive_answer({"one": intervals(0.8, 0.6, 0.6, 0.4)})
    assert "a higher test loss than the minimum-norm step in 1 of 1 suites (one)" in answer
    assert "the paper's is the worse one" in answer
    assert "the distance to Adam, which remains" in answer


def test_the_paper_inverse_is_better(intervals: Intervals) -> None:
    answer = decisive_answer({"one": intervals(0.4, 0.6, 0.6, 0.7)})
    assert "the paper's is the better one" in answer
    assert "remains" not in answer


def test_data_disagree_or_nothing_differs_or_nothing_ran(intervals: Intervals) -> None:
    mixed = {"one": intervals(0.8, 0.6, 0.6, 0.7), "two": intervals(0.4, 0.6, 0.6, 0.7)}
    assert "on some data, not on all" in decisive_answer(mixed)
    same = {"one": intervals(0.5, 0.5, 0.5, 0.5)}
    assert "show no difference" in decisive_answer(same)
    assert decisive_answer({}) == "No suite ran both inverses."
