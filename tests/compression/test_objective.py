import math

import pytest
import torch
from torch import nn

from compression.errors import DivergedError
from compression.fisher import loss_gradient
from compression.likelihoods import Categorical
from compression.objective import MeanLoss
from compression.parameters import collect_parameters
from compression.problem import Problem


def test_value_and_gradient_count_every_example_once(uneven):
    problem, inputs, targets, loader = uneven
    weights = torch.randn(problem.space.size, dtype=torch.float64)
    before = problem.space.read(problem.model)
    loss = MeanLoss(problem, loader)
    value, gradient = loss.value(weights), loss.gradient(weights)
    assert torch.equal(problem.space.read(problem.model), before)
    problem.space.write(problem.model, weights)
    expected = problem.likelihood.nll(problem.model(inputs), targets)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(gradient, loss_gradient(problem, inputs, targets))


def test_weights_too_large_have_an_infinite_loss_and_no_gradient(uneven):
    problem, _, _, loader = uneven
    loss = MeanLoss(problem, loader)
    endless = torch.full((problem.space.size,), math.inf, dtype=torch.float64)
    assert loss.value(endless) == math.inf
    with pytest.raises(DivergedError, match="loss is not finite"):
        loss.gradient(endless)


def test_parameters_of_two_types_are_each_given_their_own():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), _ToFloat(), nn.Linear(5, 3).float()).eval()
    network[0].double()
    problem = Problem(network, Categorical(), collect_parameters(network))
    inputs, targets = torch.randn(6, 4, dtype=torch.float64), torch.randint(3, (6,))
    loss = MeanLoss(problem, [(inputs, targets)])
    weights = problem.space.read(network)
    assert loss.value(weights) == pytest.approx(
        nn.functional.cross_entropy(network(inputs), targets).item()
    )
    assert loss.gradient(weights).dtype == torch.float64


class _ToFloat(nn.Module):
    def forward(self, features):
        return features.float()
