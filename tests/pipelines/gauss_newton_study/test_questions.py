"""Ablations: compared with what they change, in words that follow from the interval."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gn_study.studies.configuration import NetworkOptions
from pipelines.gauss_newton_study.arms import GN, Setting, gauss_seidel, switches
from pipelines.gauss_newton_study.profiles import suites_of
from pipelines.gauss_newton_study.questions import QUESTIONS, answers
from pipelines.gauss_newton_study.run_store import FinishedRun
from pipelines.gauss_newton_study.suite_result import SuiteResult
from pipelines.gauss_newton_study.suites import Suite


def test_changed_arms_are_compared_with_the_unchanged(
    suite: Suite, made_up_run: Callable[..., FinishedRun]
) -> None:
    setting = Setting(NetworkOptions(hidden=8), 8, 2)
    whole = replace(suite, arms=(*suite.arms, *switches(setting, 1, 1), *gauss_seidel(setting)))

    def runs(value: float) -> list[FinishedRun]:
        columns = {"test_loss": [value], "train_loss": [1.0]}
        return [made_up_run(seed, columns) for seed in range(3)]

    ends = {GN: 1.0, "GN, Gauss-Seidel": 2.0, "GN then GN": 1.0, "GN then Adam": 0.5}
    result = SuiteResult(whole, {}, {}, {name: runs(value) for name, value in ends.items()})
    found = {answer.arm: answer for answer in answers([result])}
    assert list(found) == ["GN then Adam", "GN, Gauss-Seidel"]
    switched, seidel = found.values()
    assert (switched.compared_with, switched.words) == ("GN then GN", "lower")
    assert (seidel.compared_with, seidel.words) == (GN, "higher")
    assert seidel.test_loss.mean == pytest.approx(np.log(2))
    assert seidel.training_loss.mean == 0


@pytest.mark.parametrize("profile", ["cpu", "paper"])
def test_every_changed_arm_asks_a_known_question(profile: str) -> None:
    for suite in suites_of(profile):  # type: ignore[arg-type]
        for arm in suite.arms:
            if arm.question:
                assert arm.question in QUESTIONS
                assert arm.compared_with in {other.name for other in suite.arms}
