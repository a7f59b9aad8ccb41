import pytest
import torch
from torch import nn

from compression.errors import NotFittedError, UnsupportedLayerError
from compression.likelihoods import Categorical
from compression.rivals.layerwise import LayerwiseHessian


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


def test_a_convolution_is_a_linear_layer_over_patches(make_problem):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), nn.Flatten())
    problem = make_problem(network, Categorical())
    images = torch.randn(7, 2, 5, 5, dtype=torch.float64)
    curvature = fitted(problem, [(images, torch.zeros(7, dtype=torch.int64))])
    change = torch.randn(problem.space.size, dtype=torch.float64)
    weight = nn.functional.conv2d(images, change.view(3, 2, 3, 3), stride=2, padding=1)
    bend = change @ curvature.forward_product(change)
    expected = 2 * weight.square().sum() / 7 + problem.damping * change.square().sum()
    torch.testing.assert_close(bend, expected)


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


def test_it_cannot_be_asked_before_it_is_fitted(problem):
    curvature = LayerwiseHessian()
    curvature.attach(problem)
    with pytest.raises(NotFittedError, match="fit"):
        curvature.inverse_diagonal()
