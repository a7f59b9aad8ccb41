"""Half-layers: their features, tangents and gradients."""

import pytest
import torch
from torch.func import jvp

from gn_study.coupling import SAMPLES_AT_ONCE


@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus", "identity"])
@pytest.mark.parametrize("num_samples", [5, 2 * SAMPLES_AT_ONCE + 1])
def test_a_half_layers_tangents_and_gradients_are_those_of_autograd(
    make_network, draw, activation, num_samples
):
    network = make_network(8, num_blocks=1, activation=activation)
    inputs, tangent = draw(num_samples, 4), draw(num_samples, 4, seed=1)
    for half in network.half_layers().values():
        _, expected = jvp(half, (inputs,), (tangent,))
        features = half.features(inputs)
        found = half.push_forward(features, tangent, half.weight)
        assert torch.allclose(found, expected, rtol=0, atol=1e-12)
        argument = inputs.clone().requires_grad_()
        (half(argument) * tangent).sum().backward()
        found = half.pull_back(features, tangent, half.weight)
        assert torch.allclose(found, argument.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus", "identity"])
@pytest.mark.parametrize("hidden", [24, None])
def test_features_leave_their_inputs_alone(make_network, draw, activation, hidden):
    network = make_network(8, num_blocks=1, activation=activation, hidden=hidden)
    inputs = draw(5, 4)
    for half in network.half_layers().values():
        half.features(inputs)
    assert torch.equal(inputs, draw(5, 4))
