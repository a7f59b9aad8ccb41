import pytest
import torch
from torch import nn

from compression.errors import NotFittedError, UnsupportedLayerError
from compression.greedy import GreedyByRow
from compression.likelihoods import Categorical
from compression.rivals.layerwise import LayerwiseHessian
from compression.rivals.magnitude import Magnitude
from compression.selection import RankAndCompensate
from compression.surgeon import Surgeon
from compression.sweep import SweepByColumn


def fitted(problem, loader, **settings):
    curvature = LayerwiseHessian(**settings)
    curvature.attach(problem)
    curvature.fit(loader)
    return curvature


def dense_hessian(problem, loader):
    """Hessian of the squared change of each layer's outputs, by its definition: vec(W x)."""
    space = problem.space
    matrix = problem.damping * torch.eye(space.size, dtype=space.dtype)
    inputs = torch.cat([some for some, _ in loader])
    hidden = torch.tanh(problem.model[0](inputs)).detach()
    for name, entering in (("0.weight", inputs), ("2.weight", hidden)):
        slot = space.slot(name)
        identity = torch.eye(slot.shape[0], dtype=space.dtype)
        gram = entering.T @ entering / len(entering)
        matrix[slot.positions, slot.positions] += 2 * torch.kron(identity, gram)
    return matrix


def test_it_is_the_hessian_of_the_squared_change_of_outputs(
    problem, loader, mask, check_against_matrix
):
    curvature = fitted(problem, loader)
    check_against_matrix(curvature, dense_hessian(problem, loader), mask)


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
def test_a_convolution_is_a_linear_layer_over_patches(make_problem, padding_mode):
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, 3, stride=2, padding=(2, 1), bias=False, padding_mode=padding_mode)
    problem = make_problem(nn.Sequential(layer, nn.Flatten()), Categorical())
    images = torch.randn(7, 2, 5, 5, dtype=torch.float64)
    curvature = fitted(problem, [(images, torch.zeros(7, dtype=torch.int64))])
    change = torch.randn(problem.space.size, dtype=torch.float64)
    with torch.no_grad():
        before = layer(images)
        layer.weight += change.view_as(layer.weight)
        moved = layer(images) - before
    bend = change @ curvature.forward_product(change)
    expected = 2 * moved.square().sum() / 7 + problem.damping * change.square().sum()
    torch.testing.assert_close(bend, expected)


@pytest.fixture
def few_examples():
    """A layer and fewer examples than inputs: the damping alone bounds the curvature below."""
    torch.manual_seed(0)
    inputs = torch.relu(torch.randn(100, 256) + 0.5)
    return nn.Sequential(nn.Linear(256, 4)).eval(), inputs, torch.randint(0, 4, (100,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_its_inverse_is_exact_with_fewer_examples_than_inputs(few_examples, dtype):
    network, inputs, targets = few_examples
    network, inputs = network.to(dtype), inputs.to(dtype)
    loader = [(inputs[:30], targets[:30]), (inputs[30:], targets[30:])]
    curvature = Surgeon(network, Categorical(), loader, LayerwiseHessian(), damping=1e-3).curvature
    curvature.fit(loader)
    gram = 2 * inputs.double().T @ inputs.double() / 100
    exact = torch.linalg.inv(gram + 1e-3 * torch.eye(256, dtype=torch.float64))
    (part,) = curvature.factored()
    found = curvature.inverse(curvature.matrices()[0])
    assert found.dtype == part.outer.dtype == torch.float32
    for inverse in (part.column_gram[0], found[0].double()):
        assert (inverse - exact).norm() < 1e-2 * exact.norm()
    least, expected = (float(torch.linalg.eigvalsh(one)[0]) for one in (part.column_gram[0], exact))
    assert least == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("solver", [RankAndCompensate(), GreedyByRow(), SweepByColumn()])
def test_few_examples_keep_their_outputs_when_half_the_weights_go(few_examples, solver, dtype):
    network, inputs, targets = few_examples
    network, inputs = network.to(dtype), inputs.to(dtype)
    loader = [(inputs, targets)]
    surgeon = Surgeon(
        network, Categorical(), loader, LayerwiseHessian(), damping=1e-3, solver=solver
    )
    before = network[0].weight.detach().clone().float()
    surgeon.fit()
    surgeon.step(0.5)
    change = (network[0].weight.float() - before) @ inputs.float().T
    assert change.norm() < 0.1 * (before @ inputs.float().T).norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_few_examples_are_enough_to_round_by(few_examples, dtype):
    network, inputs, targets = few_examples
    network, inputs = network.to(dtype), inputs.to(dtype)
    before = network[0].weight.detach().clone().float()

    def change_of_outputs(curvature):
        with torch.no_grad():
            network[0].weight.copy_(before)
        surgeon = Surgeon(network, Categorical(), [(inputs, targets)], curvature, damping=1e-3)
        surgeon.fit()
        surgeon.quantise(4)
        return ((network[0].weight.float() - before) @ inputs.float().T).norm()

    assert change_of_outputs(LayerwiseHessian()) < 0.5 * change_of_outputs(Magnitude())


def test_its_state_survives_a_file(problem, loader, check_round_trip):
    check_round_trip(fitted(problem, loader, num_batches=2), LayerwiseHessian(), problem)


def test_hooks_are_gone_after_fitting(problem, loader):
    fitted(problem, loader)
    assert not any(module._forward_pre_hooks for module in problem.model.modules())


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(2, 4, 3, padding="same")]
)
def test_a_layer_that_is_no_matrix_over_patches_is_refused(make_problem, layer):
    problem = make_problem(nn.Sequential(layer, nn.Flatten()), Categorical())
    images = torch.randn(2, 2, 5, 5, dtype=torch.float64)
    with pytest.raises(UnsupportedLayerError, match=r"0\.weight"):
        fitted(problem, [(images, torch.zeros(2, dtype=torch.int64))])


def test_layers_that_are_never_called_are_named(make_problem, loader):
    class Idle(nn.Module):
        """With layers that it never calls, or whose weights it uses by itself."""

        def __init__(self):
            super().__init__()
            self.called, self.idle, self.by_hand = (nn.Linear(5, 3) for _ in range(3))

        def forward(self, inputs):
            return self.called(inputs) + inputs @ self.by_hand.weight.T

    with pytest.raises(UnsupportedLayerError, match=r"'idle.weight', 'by_hand.weight'"):
        fitted(make_problem(Idle(), Categorical()), loader)
    rest = make_problem(Idle(), Categorical(), exclude=("idle.weight", "by_hand.weight"))
    assert fitted(rest, loader).inverse_diagonal().isfinite().all()


def test_it_cannot_be_asked_before_it_is_fitted(problem):
    curvature = LayerwiseHessian()
    curvature.attach(problem)
    with pytest.raises(NotFittedError, match="fit"):
        curvature.inverse_diagonal()
