"""Parts of a matrix that are Kronecker products inside a diagonal, on grids of positions."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from compression.errors import DivergedError


@dataclass(frozen=True)
class Factored:
    """`D (R x C) D` on a grid of positions of the flat vector, or on a stack of such grids.

    Attributes:
        positions: int64 `(groups, rows, columns)`; -1 where a grid has nothing.
        outer: `D`, `(groups, rows, columns)`.
        row_gram: `R`, `(groups, rows, rows)`; None for the identity.
        column_gram: `C`, `(groups, columns, columns)`.
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
