from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from compression.exact import RAISES, ExactlyCompensated
from compression.greedy import GreedyByRow
from compression.learning import LearnedInverse
from compression.likelihoods import Categorical
from compression.objective import MeanLoss
from compression.selection import RankAndCompensate
from compression.surgeon import Surgeon


@dataclass
class Remove:
    """Solver that removes the smallest, compensates nothing and remembers what it was asked."""

    eliminates: bool = False
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
    """The quadratic's least point under a mask, by the definition."""
    found = weights.clone()
    found[kept] -= torch.linalg.solve(matrix[kept][:, kept], gradient[kept])
    return found


@pytest.mark.parametrize("eliminates", [False, True])
@pytest.mark.parametrize("first_order", [False, True])
def test_kept_weights_go_to_the_least_point_before_and_after(
    problem, loader, first_order, eliminates
):
    inner = Remove(eliminates)
    solver = ExactlyCompensated(inner, first_order, iterations=200)
    surgeon = fitted(problem, loader, solver)
    space, loss = surgeon.problem.space, MeanLoss(surgeon.problem, loader)
    generator = torch.Generator().manual_seed(2)
    is_kept = torch.rand(space.size, generator=generator) < 0.7
    surgeon.mask &= is_kept | ~space.prunable
    surgeon.refine()
    weights, before = space.read(problem.model), surgeon.mask
    units = torch.eye(space.size, dtype=space.dtype)
    matrix = torch.stack([surgeon.curvature.forward_product(unit) for unit in units])
    gradient = loss.gradient(weights)
    surgeon.step(0.6)
    (step,) = inner.steps
    near = {"rtol": 0, "atol": 5e-3 * float(gradient.norm() + weights.norm())}
    start = least(weights, before, matrix, gradient) if first_order else weights
    torch.testing.assert_close(step.weights, start, **near)
    after = surgeon.mask
    assert after.sum() < before.sum()
    removed = torch.where(after, step.weights, 0)
    pull = matrix @ (removed - weights) + first_order * gradient
    for raises in range(RAISES + 1):
        damping = surgeon.problem.damping * (10**raises - 1)
        expected = least(removed, after, matrix + damping * torch.eye(space.size), pull)
        if not first_order or loss.value(expected) < loss.value(removed):
            break
    else:
        expected = removed
    found = space.read(problem.model)
    torch.testing.assert_close(found, expected, **near)
    assert not found[~after].any()


def test_steps_along_the_gradient_are_shortened_until_the_loss_falls(make_problem):
    torch.manual_seed(3)
    inputs, targets = 3 * torch.randn(12, 5, dtype=torch.float64), torch.randint(3, (12,))
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double().eval()
    with torch.no_grad():
        network[2].weight *= 8
    problem = make_problem(network, Categorical(), damping=1e-5)
    inner, loader = Remove(), [(inputs, targets)]
    surgeon = fitted(problem, loader, ExactlyCompensated(inner, first_order=True))
    space, loss = problem.space, MeanLoss(problem, loader)
    weights = space.read(network)
    units = torch.eye(space.size, dtype=space.dtype)
    matrix = torch.stack([surgeon.curvature.forward_product(unit) for unit in units])
    newton = least(weights, surgeon.mask, matrix, loss.gradient(weights))
    assert loss.value(newton) > loss.value(weights)
    surgeon.step(0.5)
    start = inner.steps[0].weights
    assert loss.value(start) < loss.value(weights)
    removed = torch.where(surgeon.mask, start, 0)
    assert loss.value(space.read(network)) < loss.value(removed)


def test_without_a_slope_the_weights_stay(problem, loader):
    with torch.no_grad():
        for parameter in problem.model.parameters():
            parameter.zero_()
    surgeon = fitted(problem, loader, ExactlyCompensated(Remove(), first_order=True))
    surgeon.step(0.5)
    assert not problem.space.read(problem.model).any()


def test_it_eliminates_as_the_other_solver_does():
    for inner in (RankAndCompensate(), GreedyByRow()):
        assert ExactlyCompensated(inner).eliminates is inner.eliminates


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
