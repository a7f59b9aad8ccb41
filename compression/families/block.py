"""Dense blocks along the diagonal; one block is a full matrix."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from compression.factored import Factored
from compression.operators import InverseOperator


class DenseBlocks(InverseOperator):
    """`Q = scale L L'` for consecutive blocks of positions.

    The best fit of a block to an inverse Fisher matrix is the inverse of the Fisher matrix' own
    block. With one block of the whole size, this is the full matrix.

    Args:
        size: Number of rows.
        block_size: Rows of a block; the last block may be smaller.
        scale: What the entries are measured in, so that the factors are near 1.
        dtype: Of the factors.
        device: Of the factors.
    """

    num_moments = 1

    def __init__(
        self,
        size: int,
        block_size: int,
        scale: float,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        self.size = size
        self.scale = scale
        self.block_size = min(block_size, size)
        num_blocks = -(-size // self.block_size)
        identity = torch.eye(self.block_size, dtype=dtype, device=device)
        self.factor = nn.Parameter(identity.repeat(num_blocks, 1, 1))

    @torch.no_grad()
    def initialise(self, diagonal: Tensor) -> None:
        """Become the diagonal matrix with this diagonal `(size,)`."""
        self.factor.copy_(torch.diag_embed(self._stacked((diagonal / self.scale).sqrt())))

    def second_moments(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """The outer product of each block of a gradient `(size,)`."""
        columns = self._stacked(gradient).unsqueeze(-1)
        return (columns @ columns.mT,)

    @torch.no_grad()
    def begin_at(self, moments: Sequence[Tensor], damping: float) -> None:
        """Become the inverse of each block's damped second moments."""
        identity = torch.eye(self.block_size, dtype=torch.float64, device=moments[0].device)
        triangle = torch.linalg.cholesky(moments[0].double() + damping * identity)
        root = torch.linalg.solve_triangular(triangle, identity, upper=False)
        self.factor.copy_(root.mT / self.scale**0.5)

    def product(self, vectors: Tensor) -> Tensor:
        """The matrix times each vector, `(..., size)` in and out."""
        columns = self._stacked(vectors).unsqueeze(-1)
        products = self.factor @ (self.factor.transpose(-1, -2) @ columns)
        return self.scale * products.flatten(start_dim=-3)[..., : self.size]

    def diagonal(self) -> Tensor:
        """The matrix' diagonal, `(size,)`."""
        return self.scale * self.factor.square().sum(dim=-1).flatten()[: self.size]

    def entries(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Single entries; all between blocks are 0."""
        row_block, column_block = rows // self.block_size, columns // self.block_size
        left = self.factor[row_block, rows % self.block_size]
        right = self.factor[column_block, columns % self.block_size]
        return torch.where(row_block == column_block, self.scale * (left * right).sum(dim=-1), 0)

    def factored(self) -> Iterator[Factored]:
        """The blocks, each a grid of one row."""
        positions = torch.arange(self.size, device=self.factor.device)
        # What fills up the last block is 0 in a stack of positions that begin at 1.
        stacked = self._stacked(positions + 1).unsqueeze(1) - 1
        outer = torch.full_like(stacked, self.scale**0.5, dtype=self.factor.dtype)
        yield Factored(stacked, outer, None, self.factor @ self.factor.mT)

    def _stacked(self, vectors: Tensor) -> Tensor:
        """`(..., size)` as `(..., num_blocks, block_size)`, the last block filled up with 0."""
        missing = self.factor.shape[0] * self.block_size - self.size
        return torch.unflatten(functional.pad(vectors, (0, missing)), -1, (-1, self.block_size))
