"""Steps against curvlinops, which knows nothing of reversible networks."""

import pytest
import torch
from curvlinops import GGNLinearOperator, JacobianLinearOperator
from torch import nn

from gn_study.dense import flatten
from gn_study.derivative import output_derivative
from gn_study.direction import gn_direction
from gn_study.kernel import output_kernel
from gn_study.losses import CrossEntropy
from gn_study.minimum_norm import min_norm_direction
from gn_study.pseudo_inverse import PseudoInverse

PLAIN = PseudoInverse("none")


@pytest.fixture
def problem(make_network, draw):
    network = make_network(6, outputs=3, hidden=60, rebuild=False)
    inputs, targets = draw(6, 6), torch.tensor([0, 1, 2, 0, 1, 2])
    error = CrossEntropy().error(network(inputs).detach(), targets)
    return network, inputs, targets, error


def jacobian(network, inputs, targets):
    parameters = list(network.trained_parameters().values())
    return JacobianLinearOperator(network, parameters, [(inputs, targets)])


@pytest.mark.parametrize("compute", [gn_direction, min_norm_direction])
def test_its_jacobian_takes_the_step_to_the_error(problem, compute):
    network, inputs, targets, error = problem
    direction, _ = compute(network, inputs, error, pseudo_inverse=PLAIN)
    changed = jacobian(network, inputs, targets) @ flatten(network, direction)
    assert (changed - error.flatten()).norm() < 1e-8 * error.norm()


def test_its_jacobians_products_are_ours(problem, draw):
    network, inputs, targets, _ = problem
    operator = jacobian(network, inputs, targets)
    direction = {
        name: draw(*value.shape, seed=number)
        for number, (name, value) in enumerate(network.named_parameters())
    }
    ours = output_derivative(network, inputs, direction).flatten()
    assert torch.allclose(operator @ flatten(network, direction), ours, rtol=1e-10)
    vector = draw(18)
    there_and_back = operator @ (operator.adjoint() @ vector)
    assert torch.allclose(output_kernel(network, inputs) @ vector, there_and_back, rtol=1e-10)


def test_its_gauss_newton_matrix_takes_the_newton_step_to_the_gradient(problem):
    """`G d = J^T H J J^- H^+ e = J^T e`, the gradient of the summed loss."""
    network, inputs, targets, error = problem
    parameters = list(network.trained_parameters().values())
    operator = GGNLinearOperator(
        network, nn.CrossEntropyLoss(reduction="sum"), parameters, [(inputs, targets)]
    )
    newton = CrossEntropy("softmax").newton_error(network(inputs).detach(), error)
    loss = nn.functional.cross_entropy(network(inputs), targets, reduction="sum")
    gradient = torch.cat([value.flatten() for value in torch.autograd.grad(loss, parameters)])
    for compute in (gn_direction, min_norm_direction):
        direction, _ = compute(network, inputs, newton, pseudo_inverse=PLAIN)
        found = operator @ flatten(network, direction)
        assert (found - gradient).norm() < 1e-8 * gradient.norm()
