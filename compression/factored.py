"""Parts of a matrix that are Kronecker products inside a diagonal, on grids of positions."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from compression.errors import DivergedError

LARGEST = 2**27
"""Numbers of the matrices of the rows that are given at once: half a GiB in float32."""


@dataclass(frozen=True)
class Factored:
    """`D (R x C) D` on a grid of positions of the flat vector, or on a stack of such grids.

    Attributes:
        positions: int64 `(groups, rows, columns)`; -1 where a grid has nothing.
        outer: `D`, `(groups, rows, columns)`.
        row_gram: `R`, `(groups, rows, rows)`; None for the identity.
        column_gram: `C`, `(groups, columns, columns)`; in double precision where the others are in
            single, if what lies between its largest and least eigenvalue asks for it.
    """

    positions: Tensor
    outer: Tensor
    row_gram: Tensor | None
    column_gram: Tensor

    @classmethod
    def of_diagonal(cls, root: Tensor) -> "Factored":
        """The diagonal matrix whose root `(size,)` is given, as a stack of single numbers."""
        outer = root.view(-1, 1, 1)
        return cls(
            torch.arange(len(root), device=root.device).view(-1, 1, 1),
            outer,
            None,
            torch.ones_like(outer),
        )

    def behind(self, start: int) -> "Factored":
        """The same part of a vector in which it begins later."""
        is_there = self.positions >= 0
        return replace(self, positions=torch.where(is_there, self.positions + start, -1))

    @property
    def root(self) -> Tensor:
        """Root of the inverse's diagonal but for what columns share, `(groups, rows, columns)`."""
        if self.row_gram is None:
            return self.outer
        return self.outer * self.row_gram.diagonal(dim1=1, dim2=2).sqrt().unsqueeze(2)

    @cached_property
    def column_hessian(self) -> Tensor:
        """Inverse of `C`, in double precision.

        Raises:
            DivergedError: It is not positive definite.
        """
        return inverses(self.column_gram)

    def by_row(self) -> Iterator["Rows"]:
        """All rows of all grids, as many at a time as is worth it."""
        groups, rows, columns = self.positions.shape
        group = torch.arange(groups, device=self.positions.device).repeat_interleave(rows)
        for some in torch.split(torch.arange(groups * rows), max(1, LARGEST // columns**2)):
            positions, root = (grid.view(-1, columns)[some] for grid in (self.positions, self.root))
            yield Rows(self, group[some], positions, root)

    def columns_among(self, kept: Tensor) -> Tensor:
        """`C` without what is not kept, where a row has a matrix of its own; else as it is.

        Args:
            kept: Bool `(groups, rows, columns)`.

        Returns:
            `(groups, columns, columns)`, with nothing but a 1 where something is left out.
        """
        if kept.shape[1] > 1:
            return self.column_gram
        both = kept.mT & kept
        identity = torch.eye(
            both.shape[1], dtype=self.column_gram.dtype, device=self.column_gram.device
        )
        return torch.where(both, self.column_gram, identity)


@dataclass(frozen=True)
class Rows:
    """Rows of grids, each with its own block of the matrix: `diag(r) C diag(r)`.

    Attributes:
        part: The grids, which have `C`.
        group: Grid of each row, int64 `(rows,)`.
        positions: int64 `(rows, columns)`; -1 where a row has nothing.
        root: `r`, `(rows, columns)`.
    """

    part: Factored
    group: Tensor
    positions: Tensor
    root: Tensor

    def hessian_product(self, vectors: Tensor) -> Tensor:
        """Each row's Hessian, the inverse of its block, times a vector; all `(rows, columns)`."""
        inner = (vectors / self.root).double().unsqueeze(1) @ self.part.column_hessian[self.group]
        return inner.squeeze(1).to(vectors) / self.root

    def left_without(self, removed: Tensor) -> "LeftRows":
        """The inverse of what is left of each row's Hessian without its removed weights.

        That is not the block's own part on what is left, in which removed weights are free.

        Args:
            removed: Bool `(rows, columns)`.

        Raises:
            DivergedError: A block is not positive definite.
        """
        is_left = (self.positions >= 0) & ~removed
        if not bool(removed.any()):
            inverse = self.part.column_gram.to(self.root)[self.group]
            return LeftRows(self.positions, is_left, _scaled(inverse, self.root))
        width = int(is_left.sum(dim=1).max())
        index = is_left.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :width]
        is_left = is_left.gather(1, index)
        place = self.group[:, None, None], index.unsqueeze(2), index.unsqueeze(1)
        hessian = self.part.column_hessian[place]
        both = is_left.unsqueeze(2) & is_left.unsqueeze(1)
        identity = torch.eye(width, dtype=hessian.dtype, device=hessian.device)
        inverse = inverses(torch.where(both, hessian, identity)).to(self.root)
        positions, root = self.positions.gather(1, index), self.root.gather(1, index)
        return LeftRows(positions, is_left, _scaled(inverse, root))


@dataclass(frozen=True)
class LeftRows:
    """What is left of rows of grids, shorter ones filled up.

    Attributes:
        positions: int64 `(rows, width)`; without meaning where a row is filled up.
        is_left: Bool `(rows, width)`; False where a row is filled up.
        inverse: Of each row's Hessian on what is left, `(rows, width, width)`.
    """

    positions: Tensor
    is_left: Tensor
    inverse: Tensor


def _scaled(matrices: Tensor, root: Tensor) -> Tensor:
    """Matrices `(rows, width, width)` between diagonal ones `(rows, width)`."""
    return root.unsqueeze(2) * matrices * root.unsqueeze(1)


def in_order(matrices: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Stacks of matrices with rows `(groups, rows)` and columns in another order."""
    by_row = matrices.take_along_dim(rows.unsqueeze(2), dim=1)
    return by_row.take_along_dim(columns.unsqueeze(1), dim=2)


def triangle(gram: Tensor, upper: bool = False) -> Tensor:
    """Cholesky factors of a stack of inverse matrices, in double precision.

    Raises:
        DivergedError: One is not positive definite.
    """
    found, failures = torch.linalg.cholesky_ex(gram.double(), upper=upper)
    if bool(failures.any()):
        raise DivergedError(
            "the inverse Fisher matrix is not positive definite: raise the damping or fit longer"
        )
    factors: Tensor = found
    return factors


def inverses(grams: Tensor) -> Tensor:
    """Inverses of a stack of matrices, in double precision.

    Raises:
        DivergedError: One is not positive definite.
    """
    found: Tensor = torch.cholesky_inverse(triangle(grams, upper=True), upper=True)
    return found
