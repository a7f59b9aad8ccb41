"""Both contenders train the same network."""

from dataclasses import replace

import pytest
import torch

from pipelines.benchmarks.dense_training import OURS, SIDES, STOCK, DenseTrainingStep, make_training
from pipelines.benchmarks.measurement import CPU, WALL


def test_both_learn_the_same(settings):
    settings = replace(settings, scale=0.05)
    ours, stock = (make_training(name, 24, settings) for name in (OURS, STOCK))
    assert ours.run_epoch() == pytest.approx(stock.run_epoch(), rel=0.02)
    first, second = (
        torch.nn.utils.parameters_to_vector(each.averaged().parameters()) for each in (ours, stock)
    )
    torch.testing.assert_close(first, second, rtol=0, atol=0.01)


@pytest.mark.parametrize("side", SIDES)
def test_a_step_is_timed(settings, side):
    found = DenseTrainingStep().measure(side, replace(settings, scale=0.05))
    assert {(each.contender, each.quantity) for each in found} == {
        (contender, quantity) for contender in (OURS, STOCK) for quantity in (WALL, CPU)
    }
    assert all(len(each.values) == settings.repeats and min(each.values) > 0 for each in found)
