r"""Rounding weights one after the other, while those to come make up for it (OBQ, GPTQ).

To round weight `p` to `q` is to constrain it to `d_p = q - w_p`, as removal constrains it to
`-w_p`. To second order the others' best change is `Q_:p / Q_pp d_p`, with `Q` the inverse of the
damped Fisher matrix; then `p` stands still and leaves `Q`. All this is in the Cholesky factor of
`Q = L L'`, rows in the order of rounding: `d = -L e`, where `e_p` is what weight `p`, moved by all
before it, is still wrong by, divided by `L_pp`; the loss is `1/2 e'e`. A Kronecker product of two
matrices has the product of their factors for its own, so a weight depends on those alone that are
in no later row and no later column: all weights of one antidiagonal are rounded at once, and
without a factor for the rows, all of a column.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from compression.compensation import constrained_update
from compression.conjugate_gradients import Product
from compression.factored import Factored, in_order, triangle
from compression.lattice import Lattice

NUM_ROUNDS = 64
"""Rounds of `round_in_rounds`."""


@torch.no_grad()
def round_by_factors(
    weights: Tensor, movable: Tensor, lattice: Lattice, parts: Iterable[Factored]
) -> Tensor:
    """Round weights, with all but each part's inverse being 0.

    Exact one by one, but for one thing: where a grid has several rows and some of its weights may
    not move, these count as moving with the rest until it is their turn.

    Args:
        weights: `(size,)`.
        movable: What may move to make up for others, bool `(size,)`.
        lattice: Of the weights, steps `(size,)`.
        parts: Of the inverse of the damped Fisher matrix.

    Returns:
        New weights `(size,)`, on the lattice where they are rounded.

    Raises:
        DivergedError: A part is not positive definite.
    """
    moved = lattice.nearest(weights)
    for part in parts:
        is_there = part.positions >= 0
        found = _round_part(weights, movable, lattice, part, is_there)
        moved[part.positions[is_there]] = found[is_there]
    return moved


@torch.no_grad()
def round_in_rounds(
    weights: Tensor,
    movable: Tensor,
    lattice: Lattice,
    inverse_product: Product,
    inverse_diagonal: Tensor,
    num_rounds: int = NUM_ROUNDS,
) -> Tensor:
    """Round the stiffest weights first, all others making up for it exactly; then the next.

    For an inverse that is known by its products alone. Weights of one round do not make up for each
    other; with as many rounds as weights, each is rounded by itself.

    Args:
        weights: `(size,)`.
        movable: What may move to make up for others, bool `(size,)`.
        lattice: Of the weights, steps `(size,)`.
        inverse_product: Multiplies by the inverse of the movable weights' damped Fisher matrix.
        inverse_diagonal: Its diagonal `(size,)`.
        num_rounds: How many rounds.

    Returns:
        New weights `(size,)`, on the lattice where they are rounded.
    """
    waiting = (movable & lattice.is_rounded).nonzero().squeeze(1)
    waiting = waiting[inverse_diagonal[waiting].argsort(stable=True)]
    fixed = torch.zeros_like(movable)
    change = torch.zeros_like(weights)
    start: Tensor | None = None
    moved = weights
    for some in torch.tensor_split(waiting, min(num_rounds, max(1, len(waiting)))):
        change[some] = lattice.at(some).nearest(moved[some]) - weights[some]
        fixed[some] = True
        update = constrained_update(fixed, change, inverse_product, inverse_diagonal, start)
        start, moved = update.multipliers, weights + update.change
    return lattice.nearest(torch.where(movable, moved, weights))


@dataclass
class _Grid:
    """A stack of grids whose weights are rounded in turn, all `(groups, rows, columns)`.

    Attributes:
        values: Weights before.
        outer: `D` of the inverse.
        movable: What moves, and is wrong by something when it is rounded.
        lattice: Of the weights.
        moved: Weights that have had their turn.
    """

    values: Tensor
    outer: Tensor
    movable: Tensor
    lattice: Lattice
    moved: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.moved = self.lattice.nearest(self.values)

    def settle(
        self, index: tuple[slice | int | Tensor, ...], pull: Tensor, pivot: Tensor
    ) -> Tensor:
        """Let the weights at an index have their turn.

        Args:
            index: Of the weights.
            pull: What all before move them by, without the outer diagonal.
            pivot: Their entries on the diagonal of the Cholesky factor, without it.

        Returns:
            `e`: what they are wrong by, 0 where nothing is rounded or moves.
        """
        outer, lattice, movable = self.outer[index], self.lattice.at(index), self.movable[index]
        current = self.values[index] - outer * pull
        rounded = lattice.nearest(current)
        self.moved[index] = torch.where(movable, rounded, self.moved[index])
        return torch.where(movable, (current - rounded) / (outer * pivot), 0)

    def round_columns(self, columns: Tensor) -> None:
        """Round column by column, rows being independent, given the factor of the columns."""
        pulls, reach = torch.zeros_like(self.values), columns.mT.contiguous()
        for column in range(self.values.shape[2]):
            pivot = columns[:, column, column].unsqueeze(1)
            errors = self.settle((slice(None), slice(None), column), pulls[:, :, column], pivot)
            pulls.baddbmm_(errors.unsqueeze(2), reach[:, column : column + 1])

    def round_antidiagonals(self, rows: Tensor, columns: Tensor) -> None:
        """Round antidiagonal by antidiagonal, given the factors of rows and columns."""
        _, num_rows, num_columns = self.values.shape
        pulls, reach = torch.zeros_like(self.values), columns.mT.contiguous()
        row_pivots, column_pivots = (one.diagonal(dim1=1, dim2=2) for one in (rows, columns))
        for number in range(num_rows + num_columns - 1):
            some = slice(max(0, number - num_columns + 1), min(num_rows, number + 1))
            row = torch.arange(some.start, some.stop, device=rows.device)
            column = number - row
            pull = (rows[:, some] * pulls[:, :, column].mT).sum(dim=2)
            pivot = row_pivots[:, row] * column_pivots[:, column]
            errors = self.settle((slice(None), row, column), pull, pivot)
            pulls[:, some] += errors.unsqueeze(2) * reach[:, column]


def _round_part(
    weights: Tensor, movable: Tensor, lattice: Lattice, part: Factored, is_there: Tensor
) -> Tensor:
    """New weights of one part, in the shape of its positions."""
    positions = part.positions.clamp(min=0)
    moves = movable[positions] & is_there
    steps = torch.where(is_there, lattice.steps[positions], 0)
    column_gram = part.columns_among(moves)
    is_turn = moves & (steps > 0)
    energy = part.outer.square()
    rows = _order(_diagonal(part.row_gram, energy.mean(dim=2)), is_turn.any(dim=2))
    columns = _order(_diagonal(column_gram, energy.mean(dim=1)), is_turn.any(dim=1))
    grid = _Grid(
        in_order(weights[positions], rows, columns),
        in_order(part.outer, rows, columns),
        in_order(moves, rows, columns),
        Lattice(in_order(steps, rows, columns), lattice.limit),
    )
    column_triangle = triangle(in_order(column_gram, columns, columns)).to(weights)
    if part.row_gram is None:
        grid.round_columns(column_triangle)
    else:
        row_triangle = triangle(in_order(part.row_gram, rows, rows)).to(column_triangle)
        grid.round_antidiagonals(row_triangle, column_triangle)
    return in_order(grid.moved, rows.argsort(dim=1), columns.argsort(dim=1))


def _diagonal(gram: Tensor | None, energy: Tensor) -> Tensor:
    """Mean diagonal of the inverse along one side of a grid, up to a factor."""
    return energy if gram is None else energy * gram.diagonal(dim1=1, dim2=2)


def _order(diagonal: Tensor, has_turn: Tensor) -> Tensor:
    """The stiffest first, as little can make up for them later; last what is never rounded."""
    return torch.where(has_turn, diagonal, torch.inf).argsort(dim=1, stable=True)
