"""Rounding in turns against one weight at a time with a dense matrix."""

import itertools

import pytest
import torch
from torch import nn

from compression.errors import DivergedError
from compression.factored import Factored
from compression.families.layered import FAMILIES, make_family
from compression.lattice import Lattice, least_error_steps
from compression.parameters import collect_parameters
from compression.rounding import round_by_factors, round_in_rounds

EXACT = {"atol": 1e-11, "rtol": 1e-9}
LAYERS = {
    "linear": lambda: nn.Linear(5, 3),
    "convolution": lambda: nn.Conv2d(3, 2, (2, 3)),
    "grouped convolution": lambda: nn.Conv2d(4, 6, 2, groups=2),
    "embedding": lambda: nn.Embedding(5, 3),
    "normalisation": lambda: nn.Sequential(nn.Linear(2, 3, bias=False), nn.LayerNorm(3)),
}


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_inverse(size, seed=0):
    matrix = random(size, 2 * size, seed=seed)
    return matrix @ matrix.T / size


def one_by_one(weights, inverse, lattice, order):
    """OBQ by its definition: round, let all others make up for it, take the weight out."""
    weights, inverse = weights.clone(), inverse.clone()
    for number in order:
        change = lattice.nearest(weights)[number] - weights[number]
        weights += inverse[:, number] / inverse[number, number] * change
        inverse -= torch.outer(inverse[:, number], inverse[number]) / inverse[number, number]
    return weights


def loss(found, weights, inverse):
    change = found - weights
    return change @ torch.linalg.solve(inverse, change) / 2


def dense(factored, size):
    """The whole matrix of a stack of grids."""
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for part in factored:
        for group, positions in enumerate(part.positions):
            rows = len(positions)
            left = torch.eye(rows, dtype=torch.float64)
            if part.row_gram is not None:
                left = part.row_gram[group]
            root = part.outer[group].flatten()
            block = root[:, None] * torch.kron(left, part.column_gram[group]) * root
            there = positions.flatten() >= 0
            where = positions.flatten()[there]
            matrix[where[:, None], where] = block[there][:, there]
    return matrix


def scattered(operator):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for factor in operator.parameters():
            factor.add_(torch.randn(factor.shape, generator=generator, dtype=factor.dtype) * 0.3)
    return operator


@pytest.fixture(params=itertools.product(FAMILIES, LAYERS), ids=lambda both: " ".join(both))
def family(request):
    name, layer = request.param
    space = collect_parameters(LAYERS[layer]().double())
    return space, scattered(make_family(name, space, scale=3.0))


def test_the_parts_of_every_family_make_up_its_matrix(family):
    space, operator = family
    with torch.no_grad():
        matrix = dense(operator.factored(), space.size)
        torch.testing.assert_close(matrix, operator.dense(), **EXACT)


def test_every_family_is_rounded_as_one_by_one(family):
    space, operator = family
    weights = random(space.size)
    steps = torch.where(space.prunable, 0.3, 0.0).double()
    lattice = Lattice(steps, 3)
    everything = torch.ones(space.size, dtype=torch.bool)
    with torch.no_grad():
        matrix = operator.dense()
        found = round_by_factors(weights, everything, lattice, operator.factored())
        parts = list(operator.factored())
    order = [number for part in parts for number in expected_order(part, space.prunable)]
    torch.testing.assert_close(found, one_by_one(weights, matrix, lattice, order), **EXACT)


def expected_order(part, prunable):
    """Columns by the mean diagonal of the inverse, rows within them."""
    for group, positions in enumerate(part.positions):
        there = (positions >= 0) & prunable[positions]
        diagonal = part.outer[group].square()
        columns = diagonal.mean(0) * part.column_gram[group].diagonal()
        rows = diagonal.mean(1)
        if part.row_gram is not None:
            rows = rows * part.row_gram[group].diagonal()
        for column, row in itertools.product(columns.argsort(), rows.argsort()):
            if there[row, column]:
                yield int(positions[row, column])


@pytest.mark.parametrize("num_rounds", [1, 4, 12])
def test_rounds_leave_the_least_loss_under_their_constraints(num_rounds):
    """As many rounds as weights are one by one; a single round has nothing left to move."""
    inverse, weights = random_inverse(12), random(12)
    lattice, everything = Lattice(torch.full((12,), 0.5).double(), 3), torch.ones(12) > 0
    found = round_in_rounds(
        *(weights, everything, lattice, lambda vector: inverse @ vector),
        *(inverse.diagonal(), num_rounds),
    )
    if num_rounds == 12:
        order = inverse.diagonal().argsort()
        expected = one_by_one(weights, inverse, lattice, order.tolist())
        torch.testing.assert_close(found, expected, **EXACT)
    if num_rounds == 1:
        torch.testing.assert_close(found, lattice.nearest(weights))
    else:
        nearest = loss(lattice.nearest(weights), weights, inverse)
        assert loss(found, weights, inverse) < nearest


def test_what_is_rounded_last_is_the_best_for_what_is_fixed():
    """The exact update: no other value of the free weight, and no other multiple, is better."""
    for seed in range(20):
        inverse, weights = random_inverse(3, seed), random(3, seed=seed)
        lattice = Lattice(torch.tensor([0.7, 0.7, 0.0]).double(), 3)
        part = Factored(torch.arange(3).view(1, 1, 3), torch.ones(1, 1, 3), None, inverse[None])
        found = round_by_factors(weights, torch.ones(3) > 0, lattice, [part])
        first = 0 if inverse[0, 0] < inverse[1, 1] else 1
        second = 1 - first
        losses = {}
        for multiple in range(-3, 4):
            tried = found.clone()
            tried[second] = multiple * 0.7
            hessian = torch.linalg.inv(inverse)
            change = (tried - weights)[:2]
            tried[2] = weights[2] - hessian[2, :2] @ change / hessian[2, 2]
            losses[multiple] = loss(tried, weights, inverse).item()
        best = min(losses, key=losses.get)
        assert found[second].item() == pytest.approx(best * 0.7)
        assert loss(found, weights, inverse).item() == pytest.approx(losses[best])


def test_weights_that_may_not_move_stay_and_the_rest_is_exact_in_one_row():
    inverse, weights = random_inverse(8), random(8)
    movable = torch.tensor([1, 1, 0, 1, 0, 1, 1, 1], dtype=torch.bool)
    weights = torch.where(movable, weights, 0)
    lattice = Lattice(torch.full((8,), 0.4).double(), 7)
    part = Factored(torch.arange(8).view(1, 1, 8), torch.ones(1, 1, 8), None, inverse[None])
    found = round_by_factors(weights, movable, lattice, [part])
    kept = inverse[movable][:, movable]
    expected = torch.zeros(8, dtype=torch.float64)
    some = Lattice(lattice.steps[movable], 7)
    order = kept.diagonal().argsort().tolist()
    expected[movable] = one_by_one(weights[movable], kept, some, order)
    torch.testing.assert_close(found, expected, **EXACT)
    in_rounds = round_in_rounds(
        *(weights, movable, lattice),
        lambda vector: torch.where(movable, inverse @ torch.where(movable, vector, 0), 0),
        *(torch.where(movable, inverse.diagonal(), 0), 8),
    )
    torch.testing.assert_close(in_rounds, expected, **EXACT)


def test_under_a_mask_a_grid_loses_no_more_than_its_errors_say():
    space = collect_parameters(nn.Linear(12, 10, bias=False).double())
    operator = scattered(make_family("kronecker", space, 1.0))
    movable = random(space.size, seed=3) > 0
    weights = torch.where(movable, random(space.size), 0)
    lattice = Lattice(torch.full((space.size,), 0.4).double(), 7)
    with torch.no_grad():
        found = round_by_factors(weights, movable, lattice, operator.factored())
        inverse = operator.dense()[movable][:, movable]
    assert not found[~movable].any()
    nearest = lattice.nearest(weights)[movable]
    assert loss(found[movable], weights[movable], inverse) < 0.7 * loss(
        nearest, weights[movable], inverse
    )


def test_what_is_not_positive_definite_is_refused():
    part = Factored(
        torch.arange(2).view(1, 1, 2), torch.ones(1, 1, 2), None, torch.ones(1, 2, 2) - 2
    )
    with pytest.raises(DivergedError, match="positive definite"):
        round_by_factors(torch.ones(2), torch.ones(2) > 0, Lattice(torch.ones(2), 1), [part])


def test_a_lattice_is_symmetric_and_leaves_what_it_does_not_round():
    lattice = Lattice(torch.tensor([0.5, 0.5, 0.5, 0.0]), 3)
    values = torch.tensor([0.6, -9.0, -0.1, 0.123])
    assert lattice.nearest(values).tolist() == pytest.approx([0.5, -1.5, 0.0, 0.123])
    assert lattice.multiples(values).tolist() == [1, -3, 0, 0]
    assert not lattice.multiples(values)[2].signbit()


def test_steps_are_the_best_of_many_for_what_matters():
    matrix = torch.tensor([[1.0, 0.1, 0.1, 0.1], [0, 0, 0, 0]])
    whole = least_error_steps(matrix, torch.ones(2, 4), 3)
    assert whole.tolist() == pytest.approx([1 / 3, 1.0])
    cared = torch.tensor([[1e-6, 1, 1, 1], [1, 1, 1, 1]])
    finer = least_error_steps(matrix, cared, 3)
    assert finer[0] == pytest.approx(0.1, abs=0.01)
