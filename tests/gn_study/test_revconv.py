"""Reversible convolutional networks: the same guarantees, pixel by pixel."""

import pytest
import torch
from torch.func import jvp
from torch.nn import functional

from gn_study.dense import dense_direction, dense_jacobian, flatten
from gn_study.direction import gn_direction
from gn_study.gauss_seidel import gauss_seidel_direction
from gn_study.kernel import output_kernel
from gn_study.minimum_norm import min_norm_direction
from gn_study.optimizers import ExactGN
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.ranks import RankError
from gn_study.revconv import RevConvNet

PLAIN = PseudoInverse("none")
WIDTH = 4 * 2 * 3


def make(**options):
    settings = {"hidden": 60, "activation": "relu", "init_std": 0.1}
    return RevConvNet(4, (2, 3), **{**settings, "dtype": torch.float64, **options})


def plain_outputs(network, trained, inputs):
    """As a network of images is usually written."""
    left, right = inputs.view(-1, 4, 2, 3).chunk(2, dim=1)

    def added(name, read):
        convolved = functional.conv2d(
            read, network.half_layers()[name].projection, padding=network.padding
        )
        weight = trained[f"{name}.weight"][..., None, None]
        return functional.conv2d(convolved.relu(), weight, trained.get(f"{name}.bias"))

    for number in range(len(network.blocks)):
        left = left + added(f"blocks.{number}.first", right)
        right = right + added(f"blocks.{number}.second", left)
    state = torch.cat([left, right], dim=1).flatten(1)
    return state if network.readout is None else state @ network.readout


@pytest.mark.parametrize("rebuild", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"outputs": 3}, {"bias": False}, {"kernel_size": 1}, {"num_blocks": 4}], ids=str
)
def test_outputs_and_gradients_are_those_of_the_equations(draw, options, rebuild):
    network = make(**options, rebuild=rebuild)
    network.padding = options.get("kernel_size", 3) // 2
    inputs = draw(5, WIDTH).requires_grad_()
    weights = draw(5, network.num_outputs, seed=1)
    (network(inputs) * weights).sum().backward()
    trained = {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in network.named_parameters()
    }
    reference = inputs.detach().clone().requires_grad_()
    expected = plain_outputs(network, trained, reference)
    (expected * weights).sum().backward()
    assert torch.allclose(network(inputs), expected, rtol=1e-12, atol=1e-12)
    assert torch.allclose(inputs.grad, reference.grad, rtol=1e-10, atol=1e-12)
    for name, parameter in network.named_parameters():
        assert torch.allclose(parameter.grad, trained[name].grad, rtol=1e-10, atol=1e-12), name
    features = network.features(inputs)
    assert torch.allclose(network.inverse(features), inputs, rtol=0, atol=1e-12)


def test_tangents_are_those_of_forward_mode(draw):
    inputs, tangent = draw(5, WIDTH // 2), draw(5, WIDTH // 2, seed=1)
    for half in make().half_layers().values():
        _, expected = jvp(half, (inputs,), (tangent,))
        found = half.push_forward(half.features(inputs), tangent, half.weight)
        assert torch.allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"outputs": 3}, {"bias": False}], ids=str)
def test_the_direction_is_a_right_inverse_where_hidden_channels_are_enough(draw, options):
    """Five samples of six pixels, against 60 hidden channels."""
    network, inputs = make(**options), draw(5, WIDTH)
    error = draw(5, network.num_outputs, seed=1)
    direction, diagnostics = gn_direction(
        network, inputs, error, pseudo_inverse=PLAIN, strict=True, measure_residual=True
    )
    changed = dense_jacobian(network, inputs) @ flatten(network, direction)
    assert (changed - error.flatten()).norm() < 1e-9 * error.norm()
    assert diagnostics.right_inverse_residual < 1e-9
    assert {half.num_rows for half in diagnostics.half_layers} == {30}


def test_a_finite_step_is_met_block_by_block(draw):
    network, inputs, error = make(outputs=3), draw(5, WIDTH), draw(5, 3, seed=1)
    direction, _ = gauss_seidel_direction(network, inputs, error, 0.5, pseudo_inverse=PLAIN)
    before = network(inputs).detach()
    for name, parameter in network.named_parameters():
        parameter.data.sub_(direction[name], alpha=0.5)
    assert torch.allclose(network(inputs), before - 0.5 * error, rtol=0, atol=1e-9)


@pytest.mark.parametrize("bias", [True, False])
def test_the_kernel_is_that_of_the_dense_jacobian(draw, bias):
    network, inputs = make(outputs=3, bias=bias), draw(5, WIDTH)
    jacobian = dense_jacobian(network, inputs)
    assert torch.allclose(output_kernel(network, inputs), jacobian @ jacobian.T, atol=1e-10)


def test_the_shortest_direction_is_the_dense_pseudo_inverses(draw):
    network, inputs, error = make(outputs=3), draw(5, WIDTH), draw(5, 3, seed=1)
    direction, _ = min_norm_direction(network, inputs, error, pseudo_inverse=PLAIN)
    expected = flatten(network, dense_direction(network, inputs, error))
    assert (flatten(network, direction) - expected).norm() < 1e-8 * expected.norm()


def test_more_pixels_than_hidden_channels_are_fitted_in_part(draw):
    network, inputs, error = make(hidden=10, outputs=3), draw(5, WIDTH), draw(5, 3, seed=1)
    direction, diagnostics = gn_direction(network, inputs, error, measure_residual=True)
    assert all(value.isfinite().all() for value in direction.values())
    assert 0.1 < diagnostics.right_inverse_residual < 1.5
    with pytest.raises(RankError, match="a batch of 5 with 30 pixels is larger than the rank 11"):
        gn_direction(network, inputs, error, strict=True)


def test_it_is_trained_as_any_network(draw):
    inputs, targets = draw(5, WIDTH), torch.tensor([0, 1, 2, 0, 1])
    for make_optimizer in (
        lambda network: ExactGN(network, lr=0.5),
        lambda network: torch.optim.Adam(network.parameters(), lr=1e-2),
    ):
        network = make(outputs=3)
        optimizer, losses = make_optimizer(network), []

        def closure(network=network, optimizer=optimizer):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(inputs), targets)
            loss.backward()
            return loss

        losses = [float(optimizer.step(closure).detach()) for _ in range(15)]
        assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    ("channels", "options", "fault"),
    [
        (3, {}, "pixel_unshuffle"),
        (0, {}, "pixel_unshuffle"),
        (4, {"kernel_size": 2}, "use an odd one"),
        (4, {"hidden": 0}, "hidden is 0"),
        (4, {"num_blocks": 0}, "num_blocks is 0"),
        (4, {"outputs": 25}, "1 to 24"),
    ],
)
def test_impossible_sizes_are_refused(channels, options, fault):
    with pytest.raises(ValueError, match=fault):
        RevConvNet(channels, (2, 3), **options)
