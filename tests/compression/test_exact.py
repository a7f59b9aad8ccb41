from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from compression.exact import ExactlyCompensated
from compression.fisher import mean_gradient
from compression.greedy import GreedyByRow
from compression.learning import LearnedInverse
from compression.likelihoods import Categorical
from compression.selection import RankAndCompensate
from compression.surgeon import Surgeon


@dataclass
class Remove:
    """Solver that removes the smallest, compensates nothing and remembers what it was asked."""

    eliminates: bool = False
    needs_gradient: bool = False
    steps: list = field(default_factory=list)

    def __call__(self, step):
        self.steps.append(step)
        mask = step.select(step.weights.abs())
        return mask, torch.where(mask, step.weights, 0)


def fitted(problem, loader, solver):
    surgeon = Surgeon(
        problem.model, problem.likelihood, loader, LearnedInverse(steps=20, warmup_batches=4),
        damping=problem.damping, solver=solver,
    )  # fmt: skip
    surgeon.fit()
    return surgeon


def least(weights, kept, matrix, gradient):
    """Weights at the quadratic's least point under a mask, by the definition."""
    pull = gradient - matrix[:, ~kept] @ weights[~kept]
    found = torch.zeros_like(weights)
    found[kept] = weights[kept] - torch.linalg.solve(matrix[kept][:, kept], pull[kept])
    return found


@pytest.mark.parametrize("eliminates", [False, True])
@pytest.mark.parametrize("first_order", [False, True])
def test_kept_weights_go_to_the_least_point_before_and_after(
    problem, loader, first_order, eliminates
):
    inner = Remove(eliminates)
    solver = ExactlyCompensated(inner, first_order, iterations=200)
    surgeon = fitted(problem, loader, solver)
    space = surgeon.problem.space
    generator = torch.Generator().manual_seed(2)
    is_kept = torch.rand(space.size, generator=generator) < 0.7
    surgeon.mask &= is_kept | ~space.prunable
    surgeon.refine()
    weights, before = space.read(problem.model), surgeon.mask
    gradient = mean_gradient(surgeon.problem, loader) * first_order
    units = torch.eye(space.size, dtype=space.dtype)
    matrix = torch.stack([surgeon.curvature.forward_product(unit) for unit in units])
    surgeon.step(0.6)
    (step,) = inner.steps
    near = {"rtol": 0, "atol": 5e-3 * float(gradient.norm() + weights.norm())}
    start = least(weights, before, matrix, gradient) if first_order else weights
    torch.testing.assert_close(step.weights, start, **near)
    assert step.gradient is None
    after = surgeon.mask
    assert after.sum() < before.sum()
    found = space.read(problem.model)
    torch.testing.assert_close(found, least(weights, after, matrix, gradient), **near)
    assert not found[~after].any()


def test_it_asks_for_what_it_and_the_other_solver_need():
    for inner in (RankAndCompensate(), GreedyByRow()):
        assert ExactlyCompensated(inner).eliminates is inner.eliminates
        assert not ExactlyCompensated(inner).needs_gradient
        assert ExactlyCompensated(inner, first_order=True).needs_gradient


def test_an_untrained_network_gains_by_the_gradient(make_problem):
    torch.manual_seed(0)
    inputs = torch.randn(400, 8, dtype=torch.float64)
    targets = inputs[:, :3].argmax(dim=1)
    losses = {}
    for first_order in (False, True):
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3)).double().eval()
        problem = make_problem(network, Categorical())
        solver = ExactlyCompensated(GreedyByRow(), first_order)
        fitted(problem, [(inputs, targets)], solver).prune((0.2, 0.4))
        losses[first_order] = nn.functional.cross_entropy(network(inputs), targets).item()
    assert losses[True] < 0.8 * losses[False]


def test_few_iterations_lower_the_quadratic(problem, loader):
    surgeon = fitted(problem, loader, ExactlyCompensated(Remove(), iterations=1))
    space = surgeon.problem.space
    weights = space.read(problem.model)
    units = torch.eye(space.size, dtype=space.dtype)
    matrix = torch.stack([surgeon.curvature.forward_product(unit) for unit in units])
    surgeon.step(0.5)
    change = space.read(problem.model) - weights
    uncompensated = torch.where(surgeon.mask, 0, -weights)
    assert change @ matrix @ change < uncompensated @ matrix @ uncompensated
