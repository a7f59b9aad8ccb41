"""Inverse Fisher matrices as linear operators with parameters of their own."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class InverseOperator(nn.Module, ABC):
    """A symmetric, positive semi-definite matrix `(size, size)` that is never formed.

    Its parameters are what is learned; every method but `initialise` can be differentiated in
    them.

    Attributes:
        size: Number of rows.
    """

    size: int

    @abstractmethod
    def initialise(self, diagonal: Tensor) -> None:
        """Become the diagonal matrix with this diagonal `(size,)`, all above 0."""

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

    def blocks(self, indices: Tensor) -> Tensor:
        """Sub-matrices on groups of positions.

        Args:
            indices: int64 `(num_groups, group_size)`.

        Returns:
            Shape `(num_groups, group_size, group_size)`.
        """
        return self.entries(indices.unsqueeze(2), indices.unsqueeze(1))

    def dense(self) -> Tensor:
        """The whole matrix `(size, size)`, for small sizes."""
        weight = next(self.parameters())
        identity = torch.eye(self.size, dtype=weight.dtype, device=weight.device)
        return self.product(identity)


def gram_product(factor: Tensor, vectors: Tensor) -> Tensor:
    """`factor' factor vectors` for stacks of matrices, by the cheaper order of multiplication.

    Args:
        factor: Shape `(..., rows, rows)`.
        vectors: Shape `(..., rows, num_vectors)`.
    """
    transposed = factor.transpose(-1, -2)
    num_vectors = vectors.numel() // vectors.shape[-2]
    if factor.shape[-1] <= num_vectors // max(1, factor[..., 0, 0].numel()):
        return (transposed @ factor) @ vectors
    return transposed @ (factor @ vectors)
