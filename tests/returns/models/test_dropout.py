import pytest
import torch
from torch import nn

from returns.models.dropout import Dropout, draw_from


def test_training_zeroes_the_share_asked_for_and_keeps_the_mean():
    torch.manual_seed(0)
    states = torch.ones(1000, 301)
    dropped = Dropout(0.3)(states)
    share = (dropped == 0).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.005)
    assert dropped[dropped > 0].unique().item() == pytest.approx(1 / 0.7, rel=1e-4)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)


def test_rows_and_columns_are_dropped_alike():
    torch.manual_seed(0)
    dropped = Dropout(0.5)(torch.ones(512, 512)) == 0
    for dimension in (0, 1):
        share = dropped.float().mean(dim=dimension)
        # Six standard errors of a share among 512 entries.
        assert (share - 0.5).abs().max() < 6 * 0.5 / 512**0.5
    neighbours = (dropped[:, 1:] == dropped[:, :-1]).float().mean().item()
    assert neighbours == pytest.approx(0.5, abs=0.01)


def test_the_gradient_has_the_mask_of_the_output():
    torch.manual_seed(0)
    states = torch.randn(50, 7, requires_grad=True)
    dropped = Dropout(0.4)(states)
    dropped.sum().backward()
    torch.testing.assert_close(states.grad * states.detach(), dropped.detach())


def test_torchs_generator_fixes_the_mask_and_moves_on():
    layer, states = Dropout(0.5), torch.ones(64, 64)
    torch.manual_seed(3)
    first, second = layer(states), layer(states)
    torch.manual_seed(3)
    assert torch.equal(first, layer(states))
    assert not torch.equal(first, second)


def test_a_network_draws_from_a_generator_of_its_own():
    network, states = nn.Sequential(Dropout(0.5), nn.Sequential(Dropout(0.5))), torch.ones(64, 64)
    draw_from(network, 7)
    before = torch.random.get_rng_state()
    first, second = network(states), network(states)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (first == 0).float().mean() == pytest.approx(0.75, abs=0.03)  # layers do not agree
    assert not torch.equal(first, second)
    draw_from(network, 7)
    assert torch.equal(network(states), first)


def test_evaluation_and_probability_zero_change_nothing():
    states = torch.randn(10, 3)
    assert Dropout(0.5).eval()(states) is states
    assert Dropout(0.0)(states) is states


def test_elsewhere_than_on_the_cpu_torch_drops():
    dropped = Dropout(0.5)(torch.ones(3, 4, device="meta"))
    assert dropped.device.type == "meta"
    assert dropped.shape == (3, 4)


@pytest.mark.parametrize("probability", [-0.1, 1.0, float("nan")])
def test_a_probability_out_of_range_is_refused(probability):
    with pytest.raises(ValueError, match="dropout probability"):
        Dropout(probability)
