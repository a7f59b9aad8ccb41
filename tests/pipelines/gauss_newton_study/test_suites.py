"""Arms and suites: where learning rates come from, and what is refused."""

from dataclasses import replace

import pytest

from gn_study.studies.configuration import NetworkOptions
from pipelines.gauss_newton_study.arms import ADAM, GN, SGD, Setting, slower, switches
from pipelines.gauss_newton_study.suites import TUNING_SEED, VALIDATION_ONLY, Suite

SETTING = Setting(NetworkOptions(hidden=16), 8, 4)


def rates_of(suite: Suite, name: str, chosen: dict[str, float]) -> list[float]:
    arm = next(arm for arm in suite.arms if arm.name == name)
    phases = arm.experiment(chosen, suite.measuring, 3).phases
    return [phase.optimiser.learning_rate for phase in phases]


def test_rates_are_chosen_taken_over_or_scaled(suite: Suite) -> None:
    whole = replace(suite, arms=(*suite.arms, *slower(SETTING), *switches(SETTING, 1, 2)))
    chosen = {GN: 0.3, SGD: 0.1, ADAM: 0.01}
    assert rates_of(whole, GN, chosen) == [0.3]
    assert rates_of(whole, "GN, rate x 0.1", chosen) == pytest.approx([0.03])
    assert rates_of(whole, "Adam then GN", chosen) == [0.01, 0.3]
    assert rates_of(whole, "GN then GN", chosen) == [0.3, 0.3]


def test_a_trial_is_short_and_sees_the_validation_part_alone(suite: Suite) -> None:
    trial = suite.arms[0].trial(0.7, 1)
    assert (trial.seed, trial.epochs, trial.measuring) == (TUNING_SEED, 1, VALIDATION_ONLY)
    assert trial.phases[0].optimiser.learning_rate == 0.7
    assert trial.seed not in range(100)
    assert trial.measuring.parts == ("validation",)


def test_fewer_seeds_of_an_arm(suite: Suite) -> None:
    arm = replace(suite.arms[0], name="rare", seeds=1)
    assert suite.seeds_of(arm) == range(1)
    assert suite.seeds_of(replace(arm, seeds=99)) == suite.seeds_of(suite.arms[0]) == range(2)


def test_what_cannot_be_compared_is_refused(suite: Suite) -> None:
    gn, sgd, adam = suite.arms
    with pytest.raises(ValueError, match="given twice"):
        replace(suite, arms=(gn, gn))
    with pytest.raises(ValueError, match="unequal budgets"):
        replace(suite, arms=(gn, replace(sgd, rates=(0.1,))))
    with pytest.raises(ValueError, match="takes its rate from an arm not tuned"):
        replace(suite, arms=(gn, replace(sgd, rates=(), rates_of=(ADAM,))))
    with pytest.raises(ValueError, match="one phase can be tuned"):
        replace(adam, rates_of=(GN,))
    with pytest.raises(ValueError, match="one arm for the rate of each phase"):
        replace(adam, rates=(), rates_of=(GN, SGD))
