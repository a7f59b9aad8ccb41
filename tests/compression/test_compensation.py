"""Identities of the Optimal Brain Surgeon, on matrices that are known."""

import pytest
import torch

from compression.compensation import group_update, single_update
from compression.conjugate_gradients import conjugate_gradients
from compression.saliency import group_saliency, saliency

EXACT = {"atol": 1e-10, "rtol": 1e-8}
SIZE = 30


@pytest.fixture
def quadratic():
    """A damped Fisher matrix of correlated weights, its inverse, and weights."""
    generator = torch.Generator().manual_seed(3)
    factor = torch.randn(SIZE, 8, generator=generator, dtype=torch.float64)
    matrix = factor @ factor.T + 0.05 * torch.eye(SIZE, dtype=torch.float64)
    weights = torch.randn(SIZE, generator=generator, dtype=torch.float64)
    return matrix, torch.linalg.inv(matrix), weights


def removed(*positions):
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[list(positions)] = True
    return mask


def loss(matrix, weights, new):
    change = new - weights
    return (change @ matrix @ change / 2).item()


def least(matrix, weights, gone):
    """Weights of least loss that are 0 where gone, by the normal equations of the rest."""
    kept = ~gone
    new = torch.zeros_like(weights)
    pull = (matrix @ weights)[kept]
    new[kept] = torch.linalg.solve(matrix[kept][:, kept], pull)
    return new


def test_one_weight_is_removed_exactly_at_the_cost_of_its_saliency(quadratic):
    matrix, inverse, weights = quadratic
    costs = saliency(weights, inverse.diagonal())
    for position in (0, 7, 29):
        gone = removed(position)
        expected = least(matrix, weights, gone)
        for update in (single_update, group_update):
            new = update(weights, gone, lambda v: inverse @ v, inverse.diagonal())
            torch.testing.assert_close(new, expected, **EXACT)
            assert new[position] == 0
        assert loss(matrix, weights, expected) == pytest.approx(costs[position].item())


def test_a_group_is_removed_exactly_at_the_cost_of_its_saliency(quadratic):
    matrix, inverse, weights = quadratic
    groups = torch.tensor([[0, 1, 2, 3], [10, 4, 20, 9]])
    blocks = torch.stack([inverse[group][:, group] for group in groups])
    costs = group_saliency(weights, blocks, groups)
    for group, cost in zip(groups, costs, strict=True):
        gone = removed(*group.tolist())
        new = group_update(weights, gone, lambda v: inverse @ v, inverse.diagonal(), 1e-12)
        torch.testing.assert_close(new, least(matrix, weights, gone), **EXACT)
        assert loss(matrix, weights, new) == pytest.approx(cost.item())


def test_many_at_once_are_removed_exactly_by_the_group_update_only(quadratic):
    matrix, inverse, weights = quadratic
    gone = removed(*saliency(weights, inverse.diagonal()).argsort()[:12].tolist())
    exact = group_update(weights, gone, lambda v: inverse @ v, inverse.diagonal(), 1e-12)
    torch.testing.assert_close(exact, least(matrix, weights, gone), **EXACT)
    single = single_update(weights, gone, lambda v: inverse @ v, inverse.diagonal())
    assert not single[gone].any()
    assert loss(matrix, weights, single) > 2 * loss(matrix, weights, exact)


def test_single_updates_added_up_can_be_worse_than_none():
    matrix = torch.tensor([[6.0, -4.0, 7.0], [-4.0, 12.0, -2.0], [7.0, -2.0, 9.0]]).double()
    inverse, weights = torch.linalg.inv(matrix), torch.ones(3, dtype=torch.float64)
    gone = torch.tensor([True, True, False])
    exact, single = (
        update(weights, gone, lambda v: inverse @ v, inverse.diagonal())
        for update in (group_update, single_update)
    )
    assert loss(matrix, weights, exact) == pytest.approx(65 / 18)
    assert loss(matrix, weights, weights.masked_fill(gone, 0)) == pytest.approx(5)
    assert loss(matrix, weights, single) > 50


def test_updates_and_rankings_do_not_change_with_the_scale_of_the_inverse(quadratic):
    _, inverse, weights = quadratic
    gone = removed(1, 5, 8)
    for update in (single_update, group_update):
        once = update(weights, gone, lambda v: inverse @ v, inverse.diagonal())
        scaled = update(weights, gone, lambda v: 9 * inverse @ v, 9 * inverse.diagonal())
        torch.testing.assert_close(scaled, once, **EXACT)
    order = saliency(weights, inverse.diagonal()).argsort()
    assert torch.equal(saliency(weights, 9 * inverse.diagonal()).argsort(), order)


def test_one_after_the_other_is_as_good_as_all_at_once(quadratic):
    """The inverse of what is left, after a rank-one downdate, is the kept weights' own."""
    matrix, inverse, weights = quadratic
    gone = removed(2, 11, 17)
    together = group_update(weights, gone, lambda v: inverse @ v, inverse.diagonal(), 1e-12)
    new, left = weights.clone(), inverse.clone()
    for position in (2, 11, 17):
        new -= left[:, position] * new[position] / left[position, position]
        left -= torch.outer(left[:, position], left[position]) / left[position, position]
    torch.testing.assert_close(new, together, **EXACT)
    kept = ~gone
    torch.testing.assert_close(
        left[kept][:, kept], torch.linalg.inv(matrix[kept][:, kept]), **EXACT
    )


def test_weights_removed_before_stay_removed(quadratic):
    matrix, _, weights = quadratic
    before, gone = removed(0, 1, 2), removed(5, 6)
    kept = ~before
    inverse = torch.zeros_like(matrix)
    inverse[kept[:, None] & kept] = torch.linalg.inv(matrix[kept][:, kept]).flatten()
    weights = weights.masked_fill(before, 0)
    diagonal = inverse.diagonal()
    assert not saliency(weights, diagonal)[before].any()
    new = group_update(weights, gone, lambda v: inverse @ v, diagonal, 1e-12)
    assert not new[before].any()
    reduced = matrix * kept * kept[:, None] + torch.diag(before.double())
    torch.testing.assert_close(new, least(reduced, weights, gone), **EXACT)
    groups = torch.tensor([[1, 5], [0, 2]])
    blocks = torch.stack([inverse[group][:, group] for group in groups])
    expected = torch.stack([weights[5] ** 2 / inverse[5, 5] / 2, torch.tensor(0.0).double()])
    torch.testing.assert_close(group_saliency(weights, blocks, groups), expected)


def test_conjugate_gradients_solve_and_report(quadratic):
    matrix, inverse, right = quadratic
    found = conjugate_gradients(lambda v: matrix @ v, right, lambda v: v / matrix.diagonal())
    torch.testing.assert_close(found.values, inverse @ right, atol=1e-3, rtol=1e-3)
    assert found.residual <= 1e-5
    begun = conjugate_gradients(lambda v: matrix @ v, right, lambda v: v, inverse @ right)
    assert begun.iterations == 0
    short = conjugate_gradients(lambda v: matrix @ v, right, lambda v: v, max_iterations=20)
    assert 0 < short.iterations <= 20
    assert 1e-5 < short.residual < 1
    nothing = conjugate_gradients(lambda v: matrix @ v, torch.zeros_like(right), lambda v: v)
    assert not nothing.values.any()
