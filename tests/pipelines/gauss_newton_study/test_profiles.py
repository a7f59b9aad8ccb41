"""Profiles: complete, consistent, honestly named."""

from typing import get_args

import pytest

from pipelines.gauss_newton_study.arms import RIVALS
from pipelines.gauss_newton_study.profiles import ProfileName, suites_of

PROFILES = get_args(ProfileName)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_suite_has_seeds_rivals_and_a_name_of_its_own(profile: ProfileName) -> None:
    suites = suites_of(profile)
    assert len({suite.name for suite in suites}) == len(suites)
    for suite in suites:
        assert suite.seeds >= 3
        names = {arm.name for arm in suite.arms}
        assert {"GN", "SGD", "Adam"} <= names
        assert suite.tuning_epochs <= max(arm.phases[0].epochs for arm in suite.arms)
        # A batch of one kind: all full, or none.
        full = {arm.batch_size is None for arm in suite.arms}
        assert len(full) == 1


def test_cpu_profile_answers_every_question_and_compares_all_five() -> None:
    suites = {suite.name: suite for suite in suites_of("cpu")}
    for name in ("mnist", "cifar10", "returns"):
        for kind in ("full-batch", "mini-batch"):
            assert set(RIVALS) <= {arm.name for arm in suites[f"{name}-{kind}"].arms}
    questions = {arm.question for suite in suites.values() for arm in suite.arms}
    # Q1, Q2 (without augmentation), Q6 and Q12 are answered by whole suites.
    assert {"Q3", "Q4", "Q5", "Q7", "Q8", "Q9", "Q10", "Q11", "Q13", "F5", "F6", "F13"} <= questions
    assert any(suite.data.label_noise for suite in suites.values())


def test_smaller_profiles_say_that_they_are_smaller() -> None:
    for profile in ("smoke", "cpu"):
        assert all(suite.reduced for suite in suites_of(profile))
    paper = {suite.name: suite for suite in suites_of("paper")}
    for name, blocks, pooling in (("mnist", 2, 1), ("cifar10", 6, 1)):
        suite = paper[f"{name}-mini-batch"]
        assert not suite.reduced
        network = suite.arms[0].network
        assert (network.num_blocks, network.hidden, suite.data.pooling) == (blocks, 8000, pooling)
        assert (suite.arms[0].batch_size, suite.arms[0].phases[0].epochs) == (1024, 100)
    assert "GN, augmented" in {arm.name for arm in paper["cifar10-ablations"].arms}
