"""Joint selection against brute force on small quadratics, in float64."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compression.errors import NotFittedError
from compression.joint import (
    Candidate,
    Effort,
    JointSelection,
    Quadratic,
    choose_jointly,
    least_on_support,
)
from compression.likelihoods import Categorical
from compression.rivals.low_rank import LowRankFisher
from compression.surgeon import Surgeon


def make_quadratic(size, seed, slope=0.0, rank=None):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(rank or 2 * size, size, dtype=torch.float64, generator=generator)
    matrix = rows.T @ rows / len(rows) + 0.05 * torch.eye(size, dtype=torch.float64)
    anchor, tilt = torch.randn(2, size, dtype=torch.float64, generator=generator)
    metric = torch.linalg.inv(matrix).diagonal().reciprocal()
    return matrix, Quadratic(lambda v: matrix @ v, anchor, slope * tilt, metric)


def keep_largest(number):
    def choose(scores):
        mask = torch.zeros(len(scores), dtype=torch.bool)
        mask[scores.topk(number).indices] = True
        return mask

    return choose


def least(matrix, quadratic, mask):
    """Least weights on a support, and the quadratic there, by a dense solve."""
    change = -quadratic.anchor.clone()
    removed = change[~mask]
    right = -quadratic.slope[mask] - matrix[mask][:, ~mask] @ removed
    change[mask] = torch.linalg.solve(matrix[mask][:, mask], right)
    value = (change @ matrix @ change / 2 + quadratic.slope @ change).item()
    return quadratic.anchor + change, value


def best_of_all(matrix, quadratic, number):
    values = []
    for kept in combinations(range(len(matrix)), number):
        mask = torch.zeros(len(matrix), dtype=torch.bool)
        mask[list(kept)] = True
        values.append(least(matrix, quadratic, mask)[1])
    return min(values)


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_weights_on_the_support_are_the_least_ones(slope):
    matrix, quadratic = make_quadratic(12, seed=1, slope=slope)
    mask = torch.arange(12) % 3 > 0
    start = Candidate.at(quadratic, mask, quadratic.anchor)
    found = least_on_support(quadratic, start, iterations=50, tolerance=1e-12)
    weights, value = least(matrix, quadratic, mask)
    torch.testing.assert_close(found.weights, weights)
    assert found.value == pytest.approx(value, rel=1e-9)
    torch.testing.assert_close(found.gradient, quadratic.gradient(found.weights))


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_it_mostly_finds_what_brute_force_finds(slope):
    """Over 40 problems of 10 weights, 3 of them kept, against all 120 supports."""
    excess, of_ranking = [], []
    for seed in range(40):
        matrix, quadratic = make_quadratic(10, seed, slope)
        best = best_of_all(matrix, quadratic, 3)
        found = choose_jointly(quadratic, keep_largest(3), Effort())
        assert found.value == pytest.approx(least(matrix, quadratic, found.mask)[1], rel=1e-6)
        excess.append(found.value - best)
        ranked = keep_largest(3)(quadratic.importance(quadratic.anchor))
        of_ranking.append(least(matrix, quadratic, ranked)[1] - best)
    assert min(excess) > -1e-9
    assert sum(value < 1e-6 for value in excess) >= 26
    assert sum(excess) < 0.4 * sum(of_ranking)


def test_it_is_better_than_ranking_with_compensation():
    """The saliencies of Optimal Brain Surgeon choose one by one; together is better."""
    gains = []
    for seed in range(20):
        matrix, quadratic = make_quadratic(30, seed, rank=15)
        ranked = keep_largest(10)(quadratic.importance(quadratic.anchor))
        found = choose_jointly(quadratic, keep_largest(10), Effort())
        gains.append(found.value / least(matrix, quadratic, ranked)[1])
    assert max(gains) <= 1 + 1e-6
    assert sum(gains) / len(gains) < 0.8


@given(seed=st.integers(0, 2**16), size=st.integers(2, 12), data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_support_has_the_asked_size_and_the_rest_is_zero(seed, size, data):
    number = data.draw(st.integers(1, size))
    _, quadratic = make_quadratic(size, seed, slope=0.2)
    found = choose_jointly(quadratic, keep_largest(number), Effort())
    assert int(found.mask.sum()) == number
    assert not found.weights[~found.mask].any()


def test_a_larger_scale_of_the_quadratic_changes_nothing():
    matrix, quadratic = make_quadratic(15, seed=3, slope=0.2)
    scaled = Quadratic(
        lambda v: 7 * matrix @ v, quadratic.anchor, 7 * quadratic.slope, 7 * quadratic.metric
    )
    one, other = (choose_jointly(each, keep_largest(6), Effort()) for each in (quadratic, scaled))
    assert torch.equal(one.mask, other.mask)
    torch.testing.assert_close(one.weights, other.weights)


def test_what_must_stay_stays():
    """Structure comes in through the choice alone: here, weight 0 is always kept."""
    _, quadratic = make_quadratic(10, seed=5)

    def choose(scores):
        return keep_largest(4)(torch.where(torch.arange(10) == 0, torch.inf, scores))

    assert choose_jointly(quadratic, choose, Effort()).mask[0]


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, 6, generator=generator, dtype=torch.float64)
    return [(inputs, inputs[:, :3].argmax(dim=1))]


def make_surgeon(data, curvature, **settings):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double().eval()
    surgeon = Surgeon(network, Categorical(), data, curvature, damping=1e-3, **settings)
    surgeon.fit()
    return surgeon


@pytest.mark.parametrize("first_order", [0.0, 1.0])
def test_the_surgeon_prunes_to_the_least_point_of_its_quadratic(data, first_order):
    curvature = LowRankFisher(60, 1)
    surgeon = make_surgeon(data, curvature, solver=JointSelection(first_order))
    space, model = surgeon.problem.space, surgeon.model
    before, kept = space.read(model), torch.ones(space.size, dtype=torch.bool)
    gradient = curvature.state_dict()["gradients"].sum(dim=0) / 60**0.5
    surgeon.step(0.6)
    curvature.set_mask(kept)
    after = space.read(model)
    slope = curvature.forward_product(after - before) + first_order * gradient
    assert surgeon.sparsity == pytest.approx(0.6, abs=0.02)
    assert not after[~surgeon.mask].any()
    assert slope[surgeon.mask].norm() < 1e-4 * slope.norm()


def test_stages_keep_removed_weights_removed_and_structure_holds(data):
    surgeon = make_surgeon(data, LowRankFisher(60, 1), structure=(1, 3), solver=JointSelection(1.0))
    surgeon.step(0.3)
    first = surgeon.mask.clone()
    surgeon.refine()
    surgeon.step(0.6)
    assert not (surgeon.mask & ~first).any()
    kept = surgeon.masks["0.weight"].view(-1, 3).sum(dim=1)
    assert int(kept.min()) >= 1


def test_curvature_without_products_is_refused(data):
    surgeon = make_surgeon(data, "magnitude", solver=JointSelection())
    with pytest.raises(NotFittedError, match="forward product"):
        surgeon.step(0.5)
