"""Parts of a matrix that are Kronecker products inside a diagonal, on grids of positions."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


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


def restricted(gram: Tensor, kept: Tensor) -> Tensor:
    """A stack of matrices with nothing but a 1 in rows and columns that are not kept.

    Args:
        gram: `(groups, size, size)`.
        kept: Bool `(groups, size)`.
    """
    both = kept.unsqueeze(2) & kept.unsqueeze(1)
    identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    return torch.where(both, gram, identity)
