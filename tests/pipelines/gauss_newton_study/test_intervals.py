"""Student intervals and what they decide."""

import numpy as np
import pytest
from scipy import stats

from pipelines.gauss_newton_study.intervals import Interval, Verdict, combined

REPRODUCED, NOT, UNDECIDED, UNTESTED = (
    Verdict.REPRODUCED,
    Verdict.NOT_REPRODUCED,
    Verdict.UNDECIDED,
    Verdict.NOT_TESTED,
)


def test_interval_is_that_of_the_t_test() -> None:
    values = np.array([1.0, 2.5, 2.0, 4.0])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = Interval.over_seeds(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.text() == "2.38 [0.386, 4.36]"


@pytest.mark.parametrize("values", [[1.0], [], [1.0, np.inf], [1.0, np.nan]])
def test_too_few_or_infinite_figures_decide_nothing(values: list[float]) -> None:
    assert Interval.over_seeds(values).verdict() is UNDECIDED
    assert Interval.over_seeds(values).verdict_within(100) is UNDECIDED


@pytest.mark.parametrize(
    ("values", "verdict", "within"),
    [
        ([1.0, 1.1, 0.9], REPRODUCED, NOT),
        ([-1.0, -1.1, -0.9], NOT, NOT),
        ([1.0, -1.0, 0.5], UNDECIDED, UNDECIDED),
        ([0.01, -0.01, 0.0], UNDECIDED, REPRODUCED),
    ],
)
def test_verdicts(values: list[float], verdict: Verdict, within: Verdict) -> None:
    interval = Interval.over_seeds(values)
    assert interval.verdict() is verdict
    assert interval.verdict_within(0.1) is within


@pytest.mark.parametrize(
    ("verdicts", "overall"),
    [
        ([], UNTESTED),
        ([UNTESTED], UNTESTED),
        ([REPRODUCED, UNTESTED], REPRODUCED),
        ([REPRODUCED, REPRODUCED, UNDECIDED], REPRODUCED),
        ([REPRODUCED, UNDECIDED], UNDECIDED),
        ([REPRODUCED, REPRODUCED, NOT], UNDECIDED),
        ([NOT, NOT, UNDECIDED], NOT),
        ([UNDECIDED], UNDECIDED),
    ],
)
def test_one_verdict_of_many(verdicts: list[Verdict], overall: Verdict) -> None:
    assert combined(verdicts) is overall
