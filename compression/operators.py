"""Inverse Fisher matrices as linear operators with parameters of their own."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn


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
