import pytest
import torch
from torch import nn

from compression import factored, greedy
from compression.greedy import REMOVALS_BETWEEN_COMPACTIONS, GreedyByRow, removal_costs
from compression.learning import LearnedInverse
from compression.likelihoods import Categorical
from compression.rivals.layerwise import LayerwiseHessian
from compression.surgeon import Surgeon


def one_by_one(weights, hessian):
    """Costs by the definition: after each removal, least squares on what is left of the row."""
    kept, current = list(range(len(weights))), weights.clone()
    costs, highest = torch.zeros_like(weights), 0.0
    while kept:
        inverse = torch.linalg.inv(hessian[kept][:, kept])
        single = current[kept].square() / (2 * inverse.diagonal())
        place = int(single.argmin())
        highest = max(highest, float(single[place]))
        chosen = kept[place]
        costs[chosen] = highest
        current[kept] -= inverse[:, place] * current[chosen] / inverse[place, place]
        kept.remove(chosen)
    return costs


@pytest.mark.parametrize("num_inputs", [6, REMOVALS_BETWEEN_COMPACTIONS + 5])
def test_costs_are_those_of_removing_one_by_one(num_inputs, positive_definite):
    hessian = positive_definite(num_inputs, seed=0)
    weights = torch.randn(3, num_inputs, dtype=torch.float64)
    found = removal_costs(weights, torch.linalg.inv(hessian).unsqueeze(0))
    for costs, row in zip(found, weights, strict=True):
        torch.testing.assert_close(costs, one_by_one(row, hessian))


def test_what_is_removed_already_costs_nothing(positive_definite):
    hessian = positive_definite(5, seed=1)
    kept = torch.tensor([True, False, True, True, False])
    weights = torch.where(kept, torch.randn(5, dtype=torch.float64), 0)
    inverse = torch.zeros_like(hessian)
    inverse[kept.nonzero(), kept] = torch.linalg.inv(hessian[kept][:, kept])
    found = removal_costs(weights.unsqueeze(0), inverse.unsqueeze(0)).squeeze(0)
    assert not found[~kept].any()
    torch.testing.assert_close(found[kept], one_by_one(weights[kept], hessian[kept][:, kept]))


def pruned(problem, loader, curvature, sparsities, **settings):
    surgeon = Surgeon(
        problem.model, problem.likelihood, loader, curvature, damping=problem.damping, **settings
    )
    surgeon.fit()
    surgeon.prune(sparsities)
    return surgeon


@pytest.mark.parametrize("sparsities", [(0.5,), (0.25, 0.5)])
def test_the_kept_weights_are_least_squares_on_their_support(problem, loader, sparsities):
    dense = problem.space.read(problem.model)
    if len(sparsities) > 1:
        pruned(problem, loader, LayerwiseHessian(), sparsities[:1], solver=GreedyByRow())
        dense = problem.space.read(problem.model)
    curvature = LayerwiseHessian()
    curvature.attach(problem)
    curvature.fit(loader)
    surgeon = pruned(problem, loader, LayerwiseHessian(), sparsities[-1:], solver=GreedyByRow())
    found = surgeon.problem.space.read(problem.model)
    gradient = curvature.forward_product(found - dense)
    assert surgeon.sparsity == 0.5
    torch.testing.assert_close(
        gradient[surgeon.mask], torch.zeros_like(gradient[surgeon.mask]), rtol=0, atol=1e-12
    )


def test_it_changes_outputs_less_than_magnitude_does(positive_definite):
    torch.manual_seed(0)
    inputs = torch.randn(200, 12, dtype=torch.float64) @ positive_definite(12, seed=2)
    loader = [(inputs, torch.zeros(200, dtype=torch.int64))]
    changes = {}
    for curvature, solver in ((LayerwiseHessian(), GreedyByRow()), ("magnitude", None)):
        torch.manual_seed(1)
        network = nn.Linear(12, 6, bias=False).double().eval()
        before = network(inputs)
        surgeon = Surgeon(network, Categorical(), loader, curvature, damping=1e-6, solver=solver)
        surgeon.fit()
        surgeon.step(0.5)
        changes[type(curvature)] = (network(inputs) - before).square().sum().item()
    assert changes[LayerwiseHessian] < 0.5 * changes[str]


def dense_inverse(curvature, size):
    return curvature.inverse_product(torch.eye(size, dtype=torch.float64))


@pytest.fixture
def seen_costs(monkeypatch):
    """Costs of each step, in their order."""
    seen = []
    select = greedy.PruningStep.select

    def remember(step, costs):
        seen.append(costs)
        return select(step, costs)

    monkeypatch.setattr(greedy.PruningStep, "select", remember)
    return seen


@pytest.mark.parametrize("sparsities", [(0.5,), (0.3, 0.6)])
@pytest.mark.parametrize("family", ["diagonal", "block", "kronecker", "three_factor", "full"])
def test_a_learned_inverse_is_taken_row_by_row(problem, loader, family, sparsities, seen_costs):
    curvature = LearnedInverse(family, steps=5, warmup_batches=2)
    *before, last = sparsities
    surgeon = pruned(problem, loader, curvature, before, solver=GreedyByRow())
    surgeon.refine()
    space, mask = surgeon.problem.space, surgeon.mask
    weights, inverse = space.read(problem.model), dense_inverse(curvature, space.size)
    surgeon.step(last)
    for part in curvature.factored():
        for positions in part.positions.flatten(end_dim=1):
            row = positions[positions >= 0]
            row = row[space.prunable[row]]
            if not len(row):
                continue
            hessian = torch.linalg.inv(inverse[row][:, row])
            left = mask[row]
            expected = one_by_one(weights[row][left], hessian[left][:, left])
            torch.testing.assert_close(seen_costs[-1][row][left], expected)
    removed = ~surgeon.mask
    block = inverse[removed][:, removed]
    expected = weights - inverse[:, removed] @ torch.linalg.solve(block, weights[removed])
    torch.testing.assert_close(
        space.read(problem.model), torch.where(removed, 0, expected), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("sparsity", [0.3, 0.6])
def test_a_later_stage_is_least_squares_on_what_is_left(problem, loader, sparsity, seen_costs):
    curvature = LayerwiseHessian()
    surgeon = pruned(problem, loader, curvature, (0.3,), solver=GreedyByRow())
    surgeon.refine()
    space, mask = surgeon.problem.space, surgeon.mask
    weights = space.read(problem.model)
    matrix = torch.stack(
        [curvature.forward_product(unit) for unit in torch.eye(space.size).double()]
    )
    surgeon.step(sparsity)
    for slot in space.slots:
        for row in torch.arange(slot.start, slot.stop).view(slot.shape[0], -1):
            left = row[mask[row]]
            if slot.is_prunable and len(left):
                expected = one_by_one(weights[left], matrix[left][:, left])
                torch.testing.assert_close(seen_costs[-1][left], expected)
    change = space.read(problem.model) - weights
    pull = (matrix @ change)[surgeon.mask]
    torch.testing.assert_close(pull, torch.zeros_like(pull), rtol=0, atol=1e-12)


def test_the_inverse_stays_that_of_all_weights(problem, loader):
    for solver, is_of_all in ((GreedyByRow(), True), (None, False)):
        surgeon = pruned(problem, loader, LearnedInverse(steps=5), (0.3,), solver=solver)
        surgeon.refine()
        diagonal = surgeon.curvature.inverse_diagonal()
        assert bool((diagonal[~surgeon.mask] > 0).all()) is is_of_all


def test_rows_at_once_change_nothing(problem, loader, monkeypatch):
    masks = []
    state = {name: value.clone() for name, value in problem.model.state_dict().items()}
    for largest in (factored.LARGEST, 1):
        monkeypatch.setattr(factored, "LARGEST", largest)
        problem.model.load_state_dict(state)
        masks.append(
            pruned(problem, loader, LearnedInverse(steps=5), (0.5,), solver=GreedyByRow()).mask
        )
    assert torch.equal(*masks)
