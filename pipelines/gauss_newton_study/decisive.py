"""The decisive ablation: does it matter that the paper's inverse is not the minimum-norm one?"""

from collections.abc import Mapping, Sequence

from pipelines.gauss_newton_study.arms import ADAM, EQUAL_STEP, GN, MIN_NORM
from pipelines.gauss_newton_study.claim_figures import (
    Figure,
    difference,
    gap_of_updates,
    log_ratio,
    logarithm,
)
from pipelines.gauss_newton_study.intervals import Interval, Verdict
from pipelines.gauss_newton_study.suite_result import SuiteResult, at_end

TEST_LOSS, EQUAL_STEPS, AGAINST_ADAM = "test loss", "test loss, equal steps", "against Adam"


DECISIVE: dict[str, tuple[str, Figure]] = {
    TEST_LOSS: ("ln(paper's inverse / minimum norm)", log_ratio(GN, MIN_NORM, "test_loss")),
    EQUAL_STEPS: (
        "the same, the minimum-norm step at the rate chosen for the paper's inverse",
        log_ratio(GN, EQUAL_STEP, "test_loss"),
    ),
    "training loss, equal steps": (
        "ln(paper's inverse / minimum norm), equal rates",
        log_ratio(GN, EQUAL_STEP, "train_loss"),
    ),
    "test accuracy": (
        "minimum norm minus paper's inverse",
        difference(MIN_NORM, GN, at_end("test_accuracy")),
    ),
    "training loss": ("ln(paper's inverse / minimum norm)", log_ratio(GN, MIN_NORM, "train_loss")),
    "gap of an update, equal steps": (
        "other minus same batch, paper's inverse minus minimum norm, percentage points",
        difference(GN, EQUAL_STEP, gap_of_updates),
    ),
    "weight motion, equal steps": (
        "ln(paper's inverse / minimum norm) of the relative distance from the beginning",
        difference(GN, EQUAL_STEP, logarithm(at_end("weight_relative"))),
    ),
    "kernel motion, equal steps": (
        "kernel alignment with the beginning, minimum norm minus paper's inverse",
        difference(EQUAL_STEP, GN, at_end("ntk_similarity")),
    ),
    AGAINST_ADAM: (
        "ln(minimum norm's / Adam's test loss), positive where it, too, is worse than Adam",
        log_ratio(MIN_NORM, ADAM, "test_loss"),
    ),
}
"""Each figure in words and its computation, positive where the paper's inverse is the worse one."""


def decisive_intervals(result: SuiteResult) -> dict[str, Interval]:
    """Interval over seeds of each figure, positive where the paper's inverse is the worse one."""
    found = {}
    for name, (_, figure) in DECISIVE.items():
        values = figure(result)
        if values is not None and len(values):
            found[name] = Interval.over_seeds(values)
    return found


def decisive_answer(intervals: Mapping[str, Mapping[str, Interval]]) -> str:
    """The answer in sentences, by the intervals of each mini-batch suite alone.

    Args:
        intervals: Of each suite, see `decisive_intervals`.
    """
    if not intervals:
        return "No suite ran both inverses."
    worse = _suites(intervals, TEST_LOSS, Verdict.REPRODUCED)
    better = _suites(intervals, TEST_LOSS, Verdict.NOT_REPRODUCED)
    still = _suites(intervals, AGAINST_ADAM, Verdict.REPRODUCED)
    beats = _suites(intervals, AGAINST_ADAM, Verdict.NOT_REPRODUCED)
    worse_equal = _suites(intervals, EQUAL_STEPS, Verdict.REPRODUCED)
    better_equal = _suites(intervals, EQUAL_STEPS, Verdict.NOT_REPRODUCED)
    number = len(intervals)
    undecided = number - len(worse) - len(better)
    sentences = [
        f"At the end of mini-batch training the paper's inverse has a higher test loss than the "
        f"minimum-norm step in {len(worse)} of {number} suites{_named(worse)}, a lower one in "
        f"{len(better)}{_named(better)}, and the interval includes no difference in {undecided}.",
        f"The minimum-norm step itself ends with a higher test loss than Adam in {len(still)} of "
        f"{number}{_named(still)}, a lower one in {len(beats)}{_named(beats)}.",
        f"Taking equal steps in function space (one rate for both), the paper's inverse ends "
        f"higher in {len(worse_equal)} suites{_named(worse_equal)} and lower in "
        f"{len(better_equal)}{_named(better_equal)}.",
    ]
    if len(worse) > number / 2 and not better:
        sentences.append("So the choice of the inverse matters, and the paper's is the worse one.")
    elif len(better) > number / 2 and not worse:
        sentences.append("So the choice of the inverse matters, and the paper's is the better one.")
    elif worse or better:
        sentences.append("So the choice of the inverse matters on some data, not on all.")
    else:
        sentences.append("So the runs show no difference that the choice of the inverse makes.")
    if worse and len(still) > number / 2:
        sentences.append("The choice does not account for the distance to Adam, which remains.")
    return " ".join(sentences)


def _suites(
    intervals: Mapping[str, Mapping[str, Interval]], name: str, verdict: Verdict
) -> Sequence[str]:
    return [
        suite
        for suite, found in intervals.items()
        if name in found and found[name].verdict() is verdict
    ]


def _named(suites: Sequence[str]) -> str:
    return f" ({', '.join(suites)})" if suites else ""
