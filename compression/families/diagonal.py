"""A diagonal matrix."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from compression.factored import Factored
from compression.operators import InverseOperator


class Diagonal(InverseOperator):
    """`Q = scale diag(a)^2`.

    Its best fit to an inverse Fisher matrix is `1 / (F_ii + damping)`, not the diagonal of the
    inverse.

    Args:
        size: Number of rows.
        scale: What the entries are measured in, so that the factors are near 1.
        dtype: Of the factors.
        device: Of the factors.
    """

    num_moments = 1

    def __init__(
        self, size: int, scale: float, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        self.size = size
        self.scale = scale
        self.outer = nn.Parameter(torch.ones(size, dtype=dtype, device=device))

    @torch.no_grad()
    def initialise(self, diagonal: Tensor) -> None:
        """Become the diagonal matrix with this diagonal `(size,)`."""
        self.outer.copy_((diagonal / self.scale).sqrt())

    def second_moments(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """The squares of a gradient `(size,)`."""
        return (gradient.square(),)

    def begin_at(self, moments: Sequence[Tensor], damping: float) -> None:
        """Become `1 / (F_ii + damping)`."""
        self.initialise(1 / (moments[0] + damping))

    def product(self, vectors: Tensor) -> Tensor:
        """The matrix times each vector, `(..., size)` in and out."""
        return self.diagonal() * vectors

    def diagonal(self) -> Tensor:
        """The matrix' diagonal, `(size,)`."""
        return self.scale * self.outer.square()

    def entries(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Single entries; all off the diagonal are 0."""
        return torch.where(rows == columns, self.diagonal()[rows], 0)

    def factored(self) -> Iterator[Factored]:
        """Single numbers."""
        yield Factored.of_diagonal(self.scale**0.5 * self.outer)
