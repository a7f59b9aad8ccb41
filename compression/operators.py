"""Inverse Fisher matrices as linear operators with parameters of their own."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from compression.factored import Factored
from compression.saliency import group_saliency

LARGEST_BLOCKS = 2**24
"""Numbers in a stack of sub-matrices that is inverted at once."""


class InverseOperator(nn.Module, ABC):
    """A symmetric, positive semi-definite matrix `(size, size)` that is never formed.

    Its parameters are what is learned; every method but `initialise` can be differentiated in
    them.

    Attributes:
        size: Number of rows.
        num_moments: How many tensors `second_moments` gives.
    """

    size: int
    num_moments: int

    @abstractmethod
    def initialise(self, diagonal: Tensor) -> None:
        """Become the diagonal matrix with this diagonal `(size,)`, all above 0."""

    @abstractmethod
    def second_moments(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """What `begin_at` needs the mean of.

        Args:
            gradient: `(size,)`; the mean of its outer product should be the Fisher matrix.
        """

    @abstractmethod
    def begin_at(self, moments: Sequence[Tensor], damping: float) -> None:
        """Become near the inverse of a damped Fisher matrix, from mean second moments."""

    @abstractmethod
    def product(self, vectors: Tensor) -> Tensor:
        """The matrix times each vector, `(..., size)` in and out."""

    @abstractmethod
    def diagonal(self) -> Tensor:
        """The matrix' diagonal, in closed form, `(size,)`."""

    @abstractmethod
    def entries(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Single entries of the matrix.

        Args:
            rows: int64, any shape.
            columns: int64, a shape that broadcasts with that of the rows.

        Returns:
            The entry at each row and column, in the shape of both together.
        """

    @abstractmethod
    def factored(self) -> Iterator[Factored]:
        """The matrix part by part, all that lies between parts being 0."""

    def blocks(self, indices: Tensor) -> Tensor:
        """Sub-matrices on groups of positions.

        Args:
            indices: int64 `(num_groups, group_size)`.

        Returns:
            Shape `(num_groups, group_size, group_size)`.
        """
        return self.entries(indices.unsqueeze(2), indices.unsqueeze(1))

    def group_losses(self, weights: Tensor, indices: Tensor) -> Tensor:
        """What removing groups of weights costs, `1/2 w_b' (Q_bb)^-1 w_b`.

        Args:
            weights: `(size,)`.
            indices: Positions of each group in ascending order, int64 `(num_groups, group_size)`.

        Returns:
            `(num_groups,)`.
        """
        step = max(1, LARGEST_BLOCKS // indices.shape[1] ** 2)
        losses = [
            group_saliency(weights, self.blocks(some), some) for some in torch.split(indices, step)
        ]
        return torch.cat(losses)

    def dense(self) -> Tensor:
        """The whole matrix `(size, size)`, for small sizes."""
        weight = next(self.parameters())
        identity = torch.eye(self.size, dtype=weight.dtype, device=weight.device)
        return self.product(identity)


def gram_product(factor: Tensor, vectors: Tensor, is_outer: bool = False) -> Tensor:
    """`F'F X`, or `F F' X`, for stacks of matrices, by the cheaper order of multiplication.

    Args:
        factor: `F`, shape `(groups, rows, rows)`.
        vectors: `X`, shape `(..., groups, rows, num_vectors)`.
        is_outer: Whether it is `F F'`.
    """
    if vectors.dim() == factor.dim():
        product: Tensor = _GramProduct.apply(factor, vectors, is_outer)  # type: ignore[no-untyped-call]
        return product
    first, second = (factor, factor.mT) if is_outer else (factor.mT, factor)
    return first @ (second @ vectors)


class _GramProduct(torch.autograd.Function):
    """`gram_product` with one multiplication for the gradient of the factor.

    Autograd would take several, add them up, and turn the sum over in memory.
    """

    @staticmethod
    def forward(context: Any, factor: Tensor, vectors: Tensor, is_outer: bool) -> Tensor:
        """Multiply."""
        first, second = (factor, factor.mT) if is_outer else (factor.mT, factor)
        is_wide = factor.shape[-1] < vectors.shape[-1]
        between = _times(first, second) if is_wide else _times(second, vectors)
        context.save_for_backward(factor, vectors, between)
        context.is_outer = is_outer
        return _times(between, vectors) if is_wide else _times(first, between)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Gradients of the factor and, where asked for, of the vectors."""
        factor, vectors, between = context.saved_tensors
        needs_vectors = context.needs_input_grad[1]
        if factor.shape[-1] < vectors.shape[-1]:
            bent = _times(gradient, vectors.mT)
            bent = bent + bent.mT
            of_factor = _times(bent, factor) if context.is_outer else _times(factor, bent)
            return of_factor, _times(between, gradient) if needs_vectors else None, None
        first, second = (factor, factor.mT) if context.is_outer else (factor.mT, factor)
        other = _times(second, gradient)
        left = torch.cat([between, other], dim=-1)
        right = torch.cat([gradient, vectors], dim=-1)
        of_factor = _times(right, left.mT) if context.is_outer else _times(left, right.mT)
        return of_factor, _times(first, other) if needs_vectors else None, None


def _times(left: Tensor, right: Tensor) -> Tensor:
    """Product of stacks of matrices; of a single pair without the overhead of stacks."""
    return (left[0] @ right[0]).unsqueeze(0) if len(left) == 1 else left @ right


LEAST_SHARE = 1e-3
"""Mean curvature below this share of the damping is taken for as much: it does not matter."""


def damped_inverse_factors(
    moments: Sequence[Tensor], damping: float
) -> tuple[list[Tensor], Tensor]:
    """Square roots of the inverse of a damped Kronecker product, one for each factor.

    A Fisher matrix of `K` dimensions with mean curvature `m` is taken for `m` times the Kronecker
    product of `K` second moments of mean 1, to each of which `(damping / m)^(1/K)` is added.

    Args:
        moments: Second moments of the gradient along each of its dimensions, summed over the
            others: symmetric `(groups, rows, rows)`, or their diagonals `(groups, rows)`; all have
            one trace.
        damping: Above 0.

    Returns:
        For each factor `H`, with `H'H` proportional to the inverse and of mean diagonal 1, a
        lower triangle `(groups, rows, rows)` or a diagonal `(groups, rows)`; and the mean of the
        diagonal of the whole inverse, `(groups,)`.
    """
    energy = moments[0] if moments[0].dim() == 2 else moments[0].diagonal(dim1=1, dim2=2)
    trace = energy.double().sum(dim=1)
    size = math.prod(moment.shape[1] for moment in moments)
    mean = (trace / size).clamp_min(LEAST_SHARE * damping)
    share = (damping / mean) ** (1 / len(moments))
    roots, whole = [], 1 / mean
    for moment in moments:
        rows = moment.shape[1]
        # Of mean 1 over its diagonal, unless there is next to nothing to see.
        scale = rows / (mean * size)
        if moment.dim() == 2:
            root = (moment.double() * scale[:, None] + share[:, None]).rsqrt()
            diagonal = root.square()
        else:
            identity = torch.eye(rows, dtype=torch.float64, device=moment.device)
            damped = moment.double() * scale[:, None, None] + share[:, None, None] * identity
            triangle = torch.linalg.cholesky(damped)
            root = torch.linalg.solve_triangular(triangle, identity, upper=False)
            diagonal = root.square().sum(dim=1)
        level = diagonal.mean(dim=1)
        whole = whole * level
        roots.append(root / level.sqrt().view(-1, *(1,) * (root.dim() - 1)))
    return roots, whole


@dataclass(frozen=True)
class Grid:
    """Groups of positions that are all rows of some by columns of their own.

    Attributes:
        rows: The same for all groups, int64 `(num_rows,)`.
        columns: int64 `(num_groups, num_columns)`, of whatever identifies them.
    """

    rows: Tensor
    columns: Tensor


def as_grid(rows: Tensor, columns: Tensor) -> Grid | None:
    """Rows and columns `(num_groups, group_size)` of positions as a grid; None if they are none."""
    width = int((rows[0] == rows[0, 0]).sum())
    if rows.shape[1] % width:
        return None
    shape = (len(rows), rows.shape[1] // width, width)
    rows, columns = rows.view(shape), columns.view(shape)
    if bool((rows != rows[:1, :, :1]).any()) or bool((columns != columns[:, :1]).any()):
        return None
    return Grid(rows[0, :, 0], columns[:, 0])


def grid_losses(values: Tensor, row_gram: Tensor, column_grams: Tensor) -> Tensor:
    """`1/2 v'(R x C)^-1 v` for groups of values on a grid: one factorisation of `R` for all.

    Args:
        values: `(num_groups, num_rows, num_columns)`.
        row_gram: `R`, `(num_rows, num_rows)`.
        column_grams: `C` of each group, `(num_groups, num_columns, num_columns)`.

    Returns:
        `(num_groups,)`.
    """
    solved = torch.linalg.solve(row_gram, values.movedim(1, 0).flatten(start_dim=1))
    solved = torch.unflatten(solved, 1, (len(values), -1)).movedim(0, 1)
    inner = values.mT @ solved
    losses: Tensor = torch.linalg.solve(column_grams, inner).diagonal(dim1=1, dim2=2).sum(dim=1)
    return losses / 2
