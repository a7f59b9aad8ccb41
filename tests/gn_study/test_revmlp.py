"""Reversible networks: exact inverses, options, and gradients of rebuilt activations."""

import pytest
import torch
from torch.func import functional_call, jacrev
from torch.nn import functional

from gn_study.revmlp import RevMLP

VARIANTS = [
    {},
    {"activation": "relu"},
    {"activation": "softplus"},
    {"activation": "relu", "first_activation": "identity"},
    {"bias": False},
    {"hidden": None},
    {"num_blocks": 6},
    {"init_std": "xavier"},
    {"outputs": 3},
]
PLAIN = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": functional.softplus,
    "identity": lambda argument: argument,
}


def plain_outputs(network, trained, inputs):
    """The equations as they stand in the paper, for automatic differentiation."""
    left, right = inputs.chunk(2, dim=-1)

    def added(name, read):
        half = network.half_layers()[name]
        projected = read if half.projection is None else read @ half.projection.T
        return functional.linear(
            PLAIN[half.activation](projected),
            trained[f"{name}.weight"],
            trained.get(f"{name}.bias"),
        )

    for number in range(len(network.blocks)):
        left = left + added(f"blocks.{number}.first", right)
        right = right + added(f"blocks.{number}.second", left)
    state = torch.cat([left, right], dim=-1)
    return state if network.readout is None else state @ network.readout


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_the_inverse_is_exact(make_network, draw, options):
    network = make_network(8, **options)
    inputs = draw(20, 8)
    features = network.features(inputs)
    assert (features - inputs).abs().max() > 0.1
    assert torch.allclose(network.inverse(features), inputs, rtol=0, atol=1e-12)


def test_the_inverse_holds_in_single_precision():
    network = RevMLP(64, num_blocks=6, hidden=256, init_std=1e-2)
    inputs = torch.randn(50, 64, generator=torch.Generator().manual_seed(0))
    found = network.inverse(network.features(inputs))
    assert (found - inputs).norm() < 1e-5 * inputs.norm()


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("rebuild", [True, False])
def test_gradients_are_those_of_the_equations(make_network, draw, options, rebuild):
    network = make_network(8, **options, rebuild=rebuild)
    inputs = draw(5, 8).requires_grad_()
    weights = draw(5, network.num_outputs, seed=1)
    outputs = network(inputs)
    (outputs * weights).sum().backward()

    reference = inputs.detach().clone().requires_grad_()
    trained = {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in network.named_parameters()
    }
    expected = plain_outputs(network, trained, reference)
    (expected * weights).sum().backward()
    assert torch.allclose(outputs, expected, rtol=1e-12, atol=1e-12)
    assert torch.allclose(inputs.grad, reference.grad, rtol=1e-10, atol=1e-12)
    for name, parameter in network.named_parameters():
        assert torch.allclose(parameter.grad, trained[name].grad, rtol=1e-10, atol=1e-12), name


def test_activations_are_not_kept(make_network, draw):
    """What autograd keeps of six blocks is the state after the last one, and the weights."""
    kept = {}
    for rebuild in (True, False):
        network = make_network(8, num_blocks=6, hidden=50, rebuild=rebuild)
        sizes = []

        def note(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            network(draw(100, 8))
        weights = sum(parameter.numel() for parameter in network.parameters())
        kept[rebuild] = sum(sizes) - weights
    assert kept[True] == 100 * 8
    assert kept[False] > 12 * 100 * 50


def test_rebuilt_gradients_can_be_transformed(make_network, draw):
    inputs = draw(3, 6)
    jacobians = []
    for rebuild in (True, False):
        network = make_network(6, outputs=2, rebuild=rebuild)
        trained = {name: value.detach() for name, value in network.named_parameters()}

        def outputs(trained, network=network):
            return functional_call(network, trained, (inputs,))

        jacobians.append(jacrev(outputs)(trained))
    for name, found in jacobians[0].items():
        assert torch.allclose(found, jacobians[1][name], rtol=1e-10, atol=1e-12)


def test_sgd_and_adam_train_the_trained_weights_and_nothing_else(make_network, draw):
    inputs, targets = draw(30, 8), draw(30, 3, seed=1)
    for optimizer_class, rate in ((torch.optim.SGD, 0.05), (torch.optim.Adam, 0.01)):
        network = make_network(8, outputs=3, num_blocks=3)
        optimizer = optimizer_class(network.parameters(), lr=rate)
        frozen = {name: value.clone() for name, value in network.named_buffers()}
        before = {name: value.detach().clone() for name, value in network.named_parameters()}
        losses = []
        for _ in range(50):
            optimizer.zero_grad()
            loss = functional.mse_loss(network(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]
        for name, value in network.named_buffers():
            assert torch.equal(value, frozen[name]), name
        for name, value in network.named_parameters():
            assert not torch.equal(value, before[name]), name


def test_sizes_are_the_papers():
    def trained(**options):
        return sum(parameter.numel() for parameter in RevMLP(784, **options).parameters())

    assert trained(hidden=8000) == 12_545_568
    assert trained(hidden=None) == 616_224
    network = RevMLP(784, outputs=10)
    assert len(network.half_layers()) == 4
    assert set(network.trained_parameters()) == {name for name, _ in network.named_parameters()}
    (first, *_) = network.half_layers().values()
    assert first.projection.std().item() == pytest.approx(8000**-0.5, rel=0.01)
    assert first.weight.std().item() == pytest.approx(1e-3, rel=0.01)
    gram = network.readout.T @ network.readout
    assert torch.allclose(gram, torch.eye(10), atol=1e-6)


def test_the_seed_alone_decides_the_weights(make_network):
    def weights(**options):
        return torch.cat(
            [value.flatten() for value in make_network(**options).state_dict().values()]
        )

    torch.manual_seed(1)
    first = weights(seed=3, outputs=2)
    torch.manual_seed(2)
    assert torch.equal(first, weights(seed=3, outputs=2))
    assert not torch.equal(first, weights(seed=4, outputs=2))


def test_a_state_dict_carries_the_function(make_network, draw):
    network, other = make_network(seed=1, outputs=2), make_network(seed=2, outputs=2)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(draw(4, 6)), network(draw(4, 6)))


def test_states_lead_from_the_inputs_to_the_features(make_network, draw):
    network = make_network(num_blocks=3)
    states = network.states(draw(4, 6))
    assert len(states) == 4
    assert torch.equal(states[0], draw(4, 6))
    assert torch.allclose(states[-1], network.features(draw(4, 6)), rtol=1e-14)


def test_a_recorded_pass_ends_at_the_outputs(make_network, draw):
    network = make_network(outputs=2)
    with network.recording() as evaluations:
        network(draw(4, 6)).square().sum().backward()
    (evaluation,) = evaluations
    assert torch.allclose(evaluation.outputs.grad, 2 * network(draw(4, 6)))
    assert torch.equal(evaluation.features, network.features(draw(4, 6)))
    assert all(parameter.grad is None for parameter in network.parameters())
    network(draw(4, 6)).sum().backward()
    assert len(evaluations) == 1
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("width", "options", "fault"),
    [
        (7, {}, "use an even width"),
        (0, {}, "use an even width"),
        (4, {"num_blocks": 0}, "num_blocks is 0"),
        (4, {"hidden": 0}, "hidden is 0"),
        (4, {"outputs": 5}, "1 to 4"),
        (4, {"outputs": 0}, "1 to 4"),
    ],
)
def test_impossible_sizes_are_refused(width, options, fault):
    with pytest.raises(ValueError, match=fault):
        RevMLP(width, **options)


@pytest.mark.parametrize("rebuild", [True, False])
def test_inputs_of_another_width_are_refused(make_network, draw, rebuild):
    with pytest.raises(ValueError, match="inputs have width 4, the network 6"):
        make_network(rebuild=rebuild)(draw(3, 4))
