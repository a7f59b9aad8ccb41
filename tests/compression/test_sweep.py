import pytest
import torch
from torch import nn

from compression.errors import StructureError
from compression.greedy import GreedyByRow
from compression.learning import LearnedInverse
from compression.likelihoods import Categorical
from compression.rivals import layerwise
from compression.rivals.layerwise import LayerwiseHessian
from compression.selection import RankAndCompensate
from compression.surgeon import Surgeon
from compression.sweep import BLOCK, SweepByColumn, swept


def one_by_one(weights, hessian, is_gone, bound):
    """Costs and weights by the definition: what lies behind a column is least squares."""
    current, costs = weights.clone(), torch.zeros_like(weights)
    for column in range(len(weights)):
        inverse = torch.linalg.inv(hessian[column:, column:])
        costs[column] = current[column].square() / (2 * inverse[0, 0])
        if is_gone[column] or costs[column] <= bound[column]:
            current[column:] -= inverse[:, 0] * current[column] / inverse[0, 0]
    return costs, current


@pytest.mark.parametrize("num_columns", [7, BLOCK + 5])
def test_costs_are_those_of_least_squares_behind_each_column(num_columns, positive_definite):
    torch.manual_seed(0)
    hessian = positive_definite(num_columns, seed=0)
    triangle = torch.linalg.cholesky(torch.linalg.inv(hessian), upper=True)
    weights = torch.randn(3, num_columns, dtype=torch.float64)
    is_gone = torch.rand(3, num_columns) < 0.2
    weights[is_gone] = 0
    bound = torch.where(torch.rand(3, num_columns) < 0.2, -1.0, 0.1).double()
    given = torch.where(is_gone, torch.inf, bound).T[None]
    costs, after = swept(weights.T[None], triangle[None], given)
    for row in range(3):
        expected = one_by_one(weights[row], hessian, is_gone[row], bound[row])
        torch.testing.assert_close(costs[0, :, row], expected[0])
        torch.testing.assert_close(after[0, :, row], expected[1], rtol=0, atol=1e-9)


def test_costs_of_what_goes_add_up_to_the_cost_of_all(positive_definite):
    torch.manual_seed(0)
    hessian = positive_definite(9, seed=1)
    triangle = torch.linalg.cholesky(torch.linalg.inv(hessian), upper=True)
    weights = torch.randn(9, dtype=torch.float64)
    nothing, bound = torch.zeros(9, dtype=torch.bool), torch.full((9,), 0.3, dtype=torch.float64)
    costs, after = one_by_one(weights, hessian, nothing, bound)
    found, _ = swept(weights.view(1, -1, 1), triangle[None], bound.view(1, -1, 1))
    change = after - weights
    assert 0 < int((costs <= bound).sum()) < 9
    torch.testing.assert_close(found[found <= 0.3].sum(), change @ hessian @ change / 2)


def surgeon_of(problem, loader, curvature, **settings):
    surgeon = Surgeon(
        problem.model, problem.likelihood, loader, curvature, damping=problem.damping,
        solver=SweepByColumn(tolerance=1e-12, max_iterations=1000), **settings,
    )  # fmt: skip
    surgeon.fit()
    return surgeon


@pytest.mark.parametrize("largest", [2**28, 0], ids=["own inverses", "one for all outputs"])
def test_the_kept_weights_are_least_squares_on_their_support(problem, loader, monkeypatch, largest):
    monkeypatch.setattr(layerwise, "LARGEST_INVERSES", largest)
    surgeon = surgeon_of(problem, loader, LayerwiseHessian())
    for sparsity in (0.25, 0.5):
        surgeon.refine()
        before = surgeon.problem.space.read(problem.model)
        curvature = LayerwiseHessian()
        curvature.attach(surgeon.problem)
        curvature.fit(loader)
        surgeon.step(sparsity)
        after = surgeon.problem.space.read(problem.model)
        gradient = curvature.forward_product(after - before)[surgeon.mask]
        assert surgeon.sparsity == sparsity
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)


@pytest.mark.parametrize("family", ["diagonal", "block", "kronecker", "three_factor", "full"])
def test_a_learned_inverse_gives_the_exact_group_update(problem, loader, family):
    curvature = LearnedInverse(family, steps=5, warmup_batches=2)
    surgeon = surgeon_of(problem, loader, curvature)
    space = surgeon.problem.space
    weights = space.read(problem.model)
    inverse = curvature.inverse_product(torch.eye(space.size, dtype=torch.float64))
    surgeon.step(0.5)
    removed = ~surgeon.mask
    block = inverse[removed][:, removed]
    expected = weights - inverse[:, removed] @ torch.linalg.solve(block, weights[removed])
    found = space.read(problem.model)
    assert not found[removed].any()
    torch.testing.assert_close(found[surgeon.mask], expected[surgeon.mask], rtol=1e-7, atol=1e-9)


def test_each_layer_reaches_a_sparsity_of_layers(problem, loader):
    surgeon = surgeon_of(problem, loader, LayerwiseHessian(), scope="layer")
    surgeon.step(0.5)
    for mask in surgeon.masks.values():
        assert int((~mask).sum()) == round(0.5 * mask.numel())


def test_layers_that_nothing_goes_from_are_left_alone(loader):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    network = network.double().eval()
    curvature = LearnedInverse(steps=5, warmup_batches=2)
    surgeon = Surgeon(
        network, Categorical(), loader, curvature, scope="layer", solver=SweepByColumn()
    )
    surgeon.fit()
    before = network[1].weight.clone()
    surgeon.step(0.5)
    assert torch.equal(network[1].weight, before)
    assert all(int((~mask).sum()) == mask.numel() // 2 for mask in surgeon.masks.values())


def test_it_comes_between_ranking_and_greedy_removal(positive_definite):
    torch.manual_seed(0)
    inputs = torch.randn(400, 40, dtype=torch.float64) @ positive_definite(40, seed=2)
    loader = [(inputs, torch.zeros(400, dtype=torch.int64))]
    changes = []
    for solver in (RankAndCompensate(), SweepByColumn(passes=1), SweepByColumn(), GreedyByRow()):
        torch.manual_seed(1)
        network = nn.Linear(40, 20, bias=False).double().eval()
        before = network(inputs)
        surgeon = Surgeon(
            network, Categorical(), loader, LayerwiseHessian(), damping=1e-6, solver=solver
        )
        surgeon.fit()
        surgeon.step(0.8)
        changes.append((network(inputs) - before).square().sum().item())
    ranked, in_one_pass, in_four, greedy = changes
    assert greedy < in_four < in_one_pass < ranked


def test_ranking_in_stages_by_too_large_inverses_is_refused(problem, loader, monkeypatch):
    monkeypatch.setattr(layerwise, "LARGEST_INVERSES", 0)
    surgeon = Surgeon(problem.model, problem.likelihood, loader, LayerwiseHessian())
    surgeon.fit()
    surgeon.step(0.25)
    surgeon.refine()
    with pytest.raises(StructureError, match="SweepByColumn"):
        surgeon.step(0.5)
