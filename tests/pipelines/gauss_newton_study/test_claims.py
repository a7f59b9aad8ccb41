"""Claims judged on made-up runs that satisfy or contradict them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipelines.gauss_newton_study.arms import ADAM, DAMPED, GN, LONG, SGD
from pipelines.gauss_newton_study.claim_figures import (
    at_equal_loss,
    difference,
    later_blocks_first,
    least_of_all,
    least_rival,
    log_ratio,
    nearer_to_sgd,
    no_late_progress,
)
from pipelines.gauss_newton_study.claims import CLAIMS
from pipelines.gauss_newton_study.intervals import Verdict
from pipelines.gauss_newton_study.judging import Claim, judge
from pipelines.gauss_newton_study.run_store import FinishedRun
from pipelines.gauss_newton_study.suite_result import SuiteResult, at_end

SEEDS = (0, 1, 2)
MakeRun = Callable[..., FinishedRun]
MakeResult = Callable[..., SuiteResult]
Ending = Callable[..., list[FinishedRun]]
Judge = Callable[..., Verdict]


@pytest.fixture
def runs_ending(made_up_run: MakeRun) -> Ending:
    """Three runs that end near a value."""

    def make(value: float, column: str = "test_loss") -> list[FinishedRun]:
        return [made_up_run(seed, {column: [1.0, value * (1 + 0.01 * seed)]}) for seed in SEEDS]

    return make


@pytest.fixture
def verdict(made_up_result: MakeResult) -> Judge:
    """Verdict of a claim on the runs of one suite."""

    def of_runs(key: str, runs: dict[str, list[FinishedRun]], full: bool = False) -> Verdict:
        result = made_up_result(runs, batch_size=None if full else 16)
        return judge(claim(key), [result]).verdict

    return of_runs


def claim(key: str) -> Claim:
    return next(found for found in CLAIMS if found.key == key)


def test_every_claim_has_its_own_key_and_place() -> None:
    assert len({found.key for found in CLAIMS}) == len(CLAIMS)
    places = " ".join(found.place for found in CLAIMS)
    for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15):
        assert str(number) in places


def test_generalisation_is_judged_by_the_test_loss(runs_ending: Ending, verdict: Judge) -> None:
    worse = {GN: runs_ending(0.9), ADAM: runs_ending(0.5)}
    better = {GN: runs_ending(0.5), ADAM: runs_ending(0.9)}
    assert verdict("test-loss", worse) is Verdict.REPRODUCED
    assert verdict("test-loss", better) is Verdict.NOT_REPRODUCED
    assert verdict("test-loss", {GN: runs_ending(0.9)}) is Verdict.NOT_TESTED
    assert verdict("test-loss", worse, full=True) is Verdict.NOT_TESTED


def test_full_batch_speed_needs_gauss_newton_below_both_rivals(
    runs_ending: Ending, verdict: Judge
) -> None:
    fast, slow = runs_ending(0.1, "train_loss"), runs_ending(0.8, "train_loss")
    both = {GN: fast, SGD: slow, ADAM: slow}
    one = {GN: slow, SGD: runs_ending(0.9, "train_loss"), ADAM: fast}
    assert verdict("full-batch-speed", both, full=True) is Verdict.REPRODUCED
    assert verdict("full-batch-speed", one, full=True) is Verdict.NOT_REPRODUCED


def test_little_effect_is_a_margin_and_not_a_direction(runs_ending: Ending, verdict: Judge) -> None:
    decayed = "GN, weight decay 0.001"
    assert verdict("weight-decay", {GN: runs_ending(0.5), decayed: runs_ending(0.501)}) is (
        Verdict.REPRODUCED
    )
    assert verdict("weight-decay", {GN: runs_ending(0.5), decayed: runs_ending(0.8)}) is (
        Verdict.NOT_REPRODUCED
    )


def test_a_run_that_diverged_decides_nothing(
    runs_ending: Ending, verdict: Judge, made_up_run: MakeRun
) -> None:
    diverged = made_up_run(0, {"test_loss": [1.0, np.inf]}, diverged=True)
    runs = {GN: [diverged, *runs_ending(0.9)[1:]], ADAM: runs_ending(0.5)}
    assert verdict("test-loss", runs) is Verdict.UNDECIDED


def test_evidence_names_its_suite_and_pairs_seeds(
    runs_ending: Ending, made_up_result: MakeResult
) -> None:
    first = made_up_result({GN: runs_ending(2.0), ADAM: runs_ending(1.0)})
    found = judge(claim("test-loss"), [first]).evidence
    assert [item.suite for item in found] == ["tiny"]
    # Both arms vary alike over seeds, so that the paired ratio does not.
    assert found[0].interval.mean == pytest.approx(np.log(2))
    assert found[0].interval.high - found[0].interval.low < 1e-9


def test_differences_ratios_and_the_lower_rival(
    runs_ending: Ending, made_up_result: MakeResult
) -> None:
    runs = {GN: runs_ending(2.0), SGD: runs_ending(8.0), ADAM: runs_ending(4.0)}
    result = made_up_result(runs)
    assert difference(GN, ADAM, at_end("test_loss"))(result) == pytest.approx([-2.0, -2.02, -2.04])
    assert log_ratio(SGD, GN, "test_loss")(result) == pytest.approx([np.log(4)] * 3)
    lower = least_rival(at_end("test_loss"))(result)
    assert lower == pytest.approx([2.0, 2.02, 2.04])
    assert difference(GN, DAMPED, at_end("test_loss"))(result) is None
    assert difference(GN, ADAM, at_end("cka.0"))(result) is None


def test_equal_learning_is_compared_at_the_epoch_that_reached_it(
    made_up_run: MakeRun, made_up_result: MakeResult
) -> None:
    slow = made_up_run(0, {"train_loss": [4.0, 3.0, 2.0], "ntk_similarity": [1.0, 0.9, 0.8]})
    fast = made_up_run(0, {"train_loss": [4.0, 1.0, 0.1], "ntk_similarity": [1.0, 0.7, 0.2]})
    result = made_up_result({GN: [fast], ADAM: [slow]})
    # Adam ends at 2; GN is below that after its first epoch.
    found = at_equal_loss(GN, ADAM, "ntk_similarity")(result)
    assert found == pytest.approx([0.7 - 0.8])


def test_long_runs_progress_or_do_not(made_up_run: MakeRun, made_up_result: MakeResult) -> None:
    still = made_up_run(0, {"train_loss": [4.0, 1.0, 1.2, 1.1, 1.3]})
    moving = made_up_run(1, {"train_loss": [4.0, 1.0, 0.8, 0.5, 0.5]})
    found = no_late_progress(made_up_result({GN + LONG: [still, moving]}))
    assert found == pytest.approx([np.log(1.1), np.log(0.5)])
    assert no_late_progress(made_up_result({})) is None


def test_slower_rates_count_with_the_best_of_them(
    runs_ending: Ending, made_up_result: MakeResult
) -> None:
    runs = {
        GN: runs_ending(1.0, "train_loss"),
        "GN, rate x 0.1": runs_ending(0.25, "train_loss"),
        ADAM: runs_ending(0.5, "train_loss"),
    }
    assert least_of_all((GN,), "GN, rate x ")(made_up_result(runs)) == pytest.approx(
        [np.log(0.5)] * 3
    )
    del runs["GN, rate x 0.1"]
    assert least_of_all((GN,), "GN, rate x ")(made_up_result(runs)) is None


def test_later_blocks_depart_first(made_up_run: MakeRun, made_up_result: MakeResult) -> None:
    run = made_up_run(0, {"cka.0": [1.0, 0.9], "cka.1": [1.0, 0.8], "cka.2": [1.0, 0.5]})
    assert later_blocks_first(made_up_result({ADAM: [run]})) == pytest.approx([0.4])
    one_block = made_up_run(0, {"cka.0": [1.0, 0.9]})
    assert later_blocks_first(made_up_result({ADAM: [one_block]})) is None


def test_nearness_of_representations_needs_grams(
    made_up_run: MakeRun, made_up_result: MakeResult
) -> None:
    rng = np.random.default_rng(0)
    own, other = rng.normal(size=(2, 12, 5))
    with_grams = {
        name: [
            replace(made_up_run(0, {"x": [1.0]}), grams=(rows @ rows.T)[None].astype(np.float32))
        ]
        for name, rows in ((GN, own), (SGD, own), (ADAM, other))
    }
    found = nearer_to_sgd(made_up_result(with_grams))
    assert found is not None and found[0] > 0.5
    without = {name: [made_up_run(0, {"x": [1.0]})] for name in (GN, SGD, ADAM)}
    assert nearer_to_sgd(made_up_result(without)) is None
