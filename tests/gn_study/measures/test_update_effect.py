"""Percentage change of three losses."""

import math

import pytest

from gn_study.measures.update_effect import BatchLosses, UpdateEffect, percentage_change


def test_each_change_is_relative_to_the_loss_before() -> None:
    effect = UpdateEffect.between(BatchLosses(2.0, 4.0, 5.0), BatchLosses(1.0, 5.0, 5.0))
    assert (effect.same, effect.other, effect.held_out) == pytest.approx((-50.0, 25.0, 0.0))
    assert effect.gap == pytest.approx(75.0)


def test_a_loss_of_zero_has_no_percentage() -> None:
    assert math.isnan(percentage_change(0.0, 1.0))
