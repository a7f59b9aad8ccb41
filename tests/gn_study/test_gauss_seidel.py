"""Steps block by block: exact for finite step sizes, the simultaneous direction for small ones."""

import pytest
import torch

from gn_study.dense import flatten
from gn_study.direction import gn_direction
from gn_study.gauss_seidel import gauss_seidel_direction
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.ranks import RankError

PLAIN = PseudoInverse("none")


def stepped(make_network, network, direction, step_size, **options):
    other = make_network(6, **options)
    other.load_state_dict(network.state_dict())
    for name, parameter in other.named_parameters():
        parameter.data.sub_(direction[name], alpha=step_size)
    return other


@pytest.mark.parametrize("step_size", [0.3, 1.0])
@pytest.mark.parametrize(
    "options", [{"num_blocks": 1}, {"num_blocks": 3}, {"num_blocks": 3, "outputs": 2}], ids=str
)
def test_a_finite_step_is_met_exactly(make_network, draw, options, step_size):
    options = {"hidden": 60, "activation": "relu", "init_std": 0.2, **options}
    network, inputs = make_network(6, **options), draw(6, 6)
    error = draw(6, network.num_outputs, seed=1)
    direction, diagnostics = gauss_seidel_direction(
        network, inputs, error, step_size, pseudo_inverse=PLAIN, strict=True
    )
    found = stepped(make_network, network, direction, step_size, **options)(inputs)
    assert torch.allclose(found, network(inputs) - step_size * error, rtol=0, atol=1e-10)
    assert list(direction) == list(network.trained_parameters())
    assert {half.kept_rank for half in diagnostics.half_layers} == {6}


def test_one_block_fits_both_halves_where_the_simultaneous_step_fits_one(make_network, draw):
    options = {"num_blocks": 1, "hidden": 60}
    network, inputs = make_network(6, **options), draw(6, 6)
    targets = draw(6, 6, seed=1)
    error = network(inputs).detach() - targets
    simultaneous, _ = gn_direction(network, inputs, error, pseudo_inverse=PLAIN)
    found = stepped(make_network, network, simultaneous, 1.0, **options)(inputs)
    assert torch.allclose(found[:, :3], targets[:, :3], atol=1e-9)
    assert (found - targets)[:, 3:].norm() > 0.1
    sequential, _ = gauss_seidel_direction(network, inputs, error, 1.0, pseudo_inverse=PLAIN)
    found = stepped(make_network, network, sequential, 1.0, **options)(inputs)
    assert torch.allclose(found, targets, atol=1e-9)


@pytest.mark.parametrize("layer_weights", ["mean", "sum", (0.0, 0.25, 0.75), (0.5, 0.5, 0.0)])
def test_small_steps_are_the_simultaneous_ones(make_network, draw, layer_weights):
    network, inputs, error = make_network(num_blocks=3, hidden=60), draw(6, 6), draw(6, 6, seed=1)
    options = {"pseudo_inverse": PLAIN, "layer_weights": layer_weights}
    expected = flatten(network, gn_direction(network, inputs, error, **options)[0])
    distances = []
    for step_size in (1e-4, 1e-5):
        direction, _ = gauss_seidel_direction(network, inputs, error, step_size, **options)
        distances.append(float((flatten(network, direction) - expected).norm() / expected.norm()))
    assert distances[1] < 1e-2
    assert distances[0] / distances[1] == pytest.approx(10, rel=0.2)


def test_truncation_and_strictness_are_as_for_the_simultaneous_step(make_network, draw):
    network, inputs, error = make_network(hidden=60), draw(6, 6), draw(6, 6, seed=1)
    inputs[1] = inputs[0]
    direction, diagnostics = gauss_seidel_direction(
        network, inputs, error, 0.1, measure_residual=True
    )
    assert diagnostics.half_layers[0].kept_rank == 5
    assert diagnostics.right_inverse_residual > 1e-2
    assert all(value.isfinite().all() for value in direction.values())
    with pytest.raises(RankError, match="keeps rank 5 of the 6"):
        gauss_seidel_direction(network, inputs, error, 0.1, strict=True)
    with pytest.raises(RankError, match="larger than the rank 61"):
        gauss_seidel_direction(network, draw(62, 6), draw(62, 6), 0.1, strict=True)


@pytest.mark.parametrize(
    ("step_size", "layer_weights", "message"),
    [
        (0.0, "mean", "step size is 0"),
        (float("nan"), "mean", "step size is nan"),
        (0.1, "minimum_norm", "use mean, sum or figures"),
        (0.1, (1.0,), "use 2, none below 0"),
        (0.1, (1.5, -0.5), "use 2, none below 0"),
    ],
)
def test_what_does_not_fit_is_refused(make_network, draw, step_size, layer_weights, message):
    with pytest.raises(ValueError, match=message):
        gauss_seidel_direction(
            make_network(), draw(3, 6), draw(3, 6), step_size, layer_weights=layer_weights
        )
