"""Decompositions of wide matrices, by way of their small Gram matrix or by SVD.

For a matrix `A`, `(num_rows, num_columns)`, with singular values `s` and left singular vectors `U`,
every pseudo-inverse here takes targets `t` to `A^T z` with coefficients `z = U diag(g(s) / s) U^T
t`, where the filter `g(s)` takes the place of `1 / s`. So right singular vectors are never needed,
and the Gram matrix `A A^T = U diag(s^2) U^T` is as good as `A` itself.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from gn_study.extreme_eigenvalues import inverse_norm, largest_eigenvalue, matrix_norm
from gn_study.pseudo_inverse import PseudoInverse

MANY_ROWS = 256
"""From here on a ridge goes without the eigenvalues, which would tell the condition but take most
of a step's time."""


@dataclass(frozen=True)
class Factor(ABC):
    """A decomposed matrix `A`, `(num_rows, num_columns)`.

    Attributes:
        kept_rank: Number of singular values that are kept.
        condition: Largest singular value by the smallest kept one; inf if none is kept.
        is_exact: Whether `A` times the pseudo-inverse is the identity.
    """

    kept_rank: int
    condition: float
    is_exact: bool

    @abstractmethod
    def coefficients(self, targets: Tensor) -> Tensor:
        """`z` such that the pseudo-inverse takes targets, `(num_rows, num_targets)`, to `A^T z`."""

    @abstractmethod
    def fitted(self, targets: Tensor) -> Tensor:
        """`A` times what the pseudo-inverse takes targets, `(num_rows, num_targets)`, to."""


@dataclass(frozen=True)
class SpectralFactor(Factor):
    """Kept singular values and left singular vectors.

    Attributes:
        vectors: float64 `(num_rows, kept_rank)`.
        values: float64 `(kept_rank,)`, descending.
        inverse_values: What takes the place of their inverses, float64 `(kept_rank,)`.
    """

    vectors: Tensor
    values: Tensor
    inverse_values: Tensor

    @classmethod
    def of(
        cls, vectors: Tensor, values: Tensor, pseudo_inverse: PseudoInverse, floor: float
    ) -> "SpectralFactor":
        """Keep what the pseudo-inverse keeps.

        Args:
            vectors: Left singular vectors, `(num_rows, rank)`.
            values: Singular values, `(rank,)`, descending.
            pseudo_inverse: What is kept, and how it is inverted.
            floor: Relative size under which a singular value is rounding.
        """
        largest = float(values[0])
        is_kept = (values >= pseudo_inverse.smallest(largest, floor)) & (values > 0)
        kept_rank = int(is_kept.sum())
        vectors, values = vectors[:, is_kept].double(), values[is_kept].double()
        if pseudo_inverse.kind == "damped":
            inverse = 1 / (values + pseudo_inverse.damping * largest)
        elif pseudo_inverse.kind == "tikhonov":
            inverse = values / (values**2 + pseudo_inverse.damping * largest**2)
        else:
            inverse = 1 / values
        return cls(
            kept_rank=kept_rank,
            condition=largest / float(values[-1]) if kept_rank else float("inf"),
            is_exact=kept_rank == len(vectors) and not pseudo_inverse.is_damped,
            vectors=vectors,
            values=values,
            inverse_values=inverse,
        )

    def coefficients(self, targets: Tensor) -> Tensor:
        """As in the base class."""
        return self._filtered(targets, self.inverse_values / self.values)

    def fitted(self, targets: Tensor) -> Tensor:
        """As in the base class."""
        return self._filtered(targets, self.inverse_values * self.values)

    def _filtered(self, targets: Tensor, factors: Tensor) -> Tensor:
        spectrum = factors[:, None] * (self.vectors.T @ targets.double())
        return (self.vectors @ spectrum).to(targets.dtype)


@dataclass(frozen=True)
class CholeskyFactor(Factor):
    """A well-conditioned matrix of which every singular value is kept, unchanged.

    Attributes:
        lower: Cholesky factor of the Gram matrix, float64 `(num_rows, num_rows)`.
    """

    lower: Tensor

    @classmethod
    def of(
        cls, gram: Tensor, pseudo_inverse: PseudoInverse, floor: float
    ) -> "CholeskyFactor | None":
        """Decompose if provably nothing is truncated.

        The largest row sum of absolute values bounds the largest eigenvalue. If the Gram matrix
        less the square of the smallest singular value that would be kept under that bound is
        positive definite, all singular values are above it.

        Args:
            gram: `A A^T`, float64 `(num_rows, num_rows)`.
            pseudo_inverse: What is kept.
            floor: Relative size under which a singular value is rounding.

        Returns:
            None where something may be truncated, or where the inverse is not a plain one. The
            condition is estimated by power iterations, from below.
        """
        if pseudo_inverse.is_damped:
            return None
        bound = float(torch.linalg.matrix_norm(gram, torch.inf)) ** 0.5
        shifted = gram.clone()
        shifted.diagonal().sub_(pseudo_inverse.smallest(bound, floor) ** 2)
        if torch.linalg.cholesky_ex(shifted).info:
            return None
        del shifted
        lower = torch.linalg.cholesky(gram)
        return cls(
            kept_rank=len(gram),
            condition=(matrix_norm(gram) * inverse_norm(lower)) ** 0.5,
            is_exact=True,
            lower=lower,
        )

    def coefficients(self, targets: Tensor) -> Tensor:
        """As in the base class."""
        return torch.cholesky_solve(targets.double(), self.lower).to(targets.dtype)

    def fitted(self, targets: Tensor) -> Tensor:
        """As in the base class."""
        return targets


@dataclass(frozen=True)
class RidgeFactor(Factor):
    """A matrix whose singular values `s` are inverted as `s / (s^2 + ridge)`, all of them.

    Attributes:
        lower: Cholesky factor of the Gram matrix with the ridge on its diagonal, float64
            `(num_rows, num_rows)`.
        ridge: `damping * s_max^2`.
    """

    lower: Tensor
    ridge: float

    @classmethod
    def of(cls, gram: Tensor, damping: float) -> "RidgeFactor | None":
        """Decompose, an order of magnitude faster than by eigenvalues.

        Args:
            gram: `A A^T`, float64 `(num_rows, num_rows)`.
            damping: Relative to the largest eigenvalue of the Gram matrix.

        Returns:
            None where the ridge is too small for the rounding of the Gram matrix. The condition is
            that of the matrix with the ridge, `sqrt(1 + 1 / damping)` at most, estimated by power
            iterations, from below: the smallest singular value itself drowns in the ridge.
        """
        ridge = damping * largest_eigenvalue(gram)
        raised = gram.clone()
        raised.diagonal().add_(ridge)
        lower, info = torch.linalg.cholesky_ex(raised)
        if info or not ridge:
            return None
        return cls(
            kept_rank=len(gram),
            condition=((ridge / damping + ridge) * inverse_norm(lower)) ** 0.5,
            is_exact=False,
            lower=lower,
            ridge=ridge,
        )

    def coefficients(self, targets: Tensor) -> Tensor:
        """As in the base class."""
        return torch.cholesky_solve(targets.double(), self.lower).to(targets.dtype)

    def fitted(self, targets: Tensor) -> Tensor:
        """As in the base class."""
        solved = torch.cholesky_solve(targets.double(), self.lower)
        return (targets.double() - self.ridge * solved).to(targets.dtype)


def factor_gram(gram: Tensor, pseudo_inverse: PseudoInverse) -> Factor:
    """Decompose a matrix by way of its Gram matrix: by Cholesky if that is the same, else by eigh.

    Args:
        gram: `A A^T`, float64 `(num_rows, num_rows)`.
        pseudo_inverse: What is kept, and how it is inverted.
    """
    # Eigenvalues err by the precision times the largest one; singular values are their roots.
    floor = (len(gram) * torch.finfo(gram.dtype).eps) ** 0.5
    direct: Factor | None = CholeskyFactor.of(gram, pseudo_inverse, floor)
    if pseudo_inverse.kind == "tikhonov" and len(gram) >= MANY_ROWS:
        direct = RidgeFactor.of(gram, pseudo_inverse.damping)
    if direct is not None:
        return direct
    eigenvalues, vectors = torch.linalg.eigh(gram)
    values = eigenvalues.clamp(min=0).sqrt()
    return SpectralFactor.of(vectors.flip(1), values.flip(0), pseudo_inverse, floor)


class KeptFactor:
    """The last Gram matrix and its decomposition, for when the same comes again.

    No step changes the features of a network's first half-layer: they depend on the inputs and on
    what is frozen. So a batch that is used again, as in full-batch training, needs no new
    decomposition there.
    """

    def __init__(self) -> None:
        """Keep nothing so far."""
        self._last: tuple[Tensor, PseudoInverse, Factor] | None = None

    def factor(self, gram: Tensor, pseudo_inverse: PseudoInverse) -> Factor:
        """`factor_gram`, or what it last returned for the same.

        Args:
            gram: `A A^T`, float64 `(num_rows, num_rows)`.
            pseudo_inverse: What is kept, and how it is inverted.
        """
        if self._last is not None:
            last_gram, last_inverse, factor = self._last
            if last_inverse == pseudo_inverse and torch.equal(last_gram, gram):
                return factor
        factor = factor_gram(gram, pseudo_inverse)
        self._last = gram, pseudo_inverse, factor
        return factor


def factor_matrix(matrix: Tensor, pseudo_inverse: PseudoInverse) -> Factor:
    """Decompose a matrix by its SVD.

    Args:
        matrix: `A`, `(num_rows, num_columns)`.
        pseudo_inverse: What is kept, and how it is inverted.
    """
    vectors, values, _ = torch.linalg.svd(matrix, full_matrices=False)
    floor = max(matrix.shape) * torch.finfo(matrix.dtype).eps
    return SpectralFactor.of(vectors, values, pseudo_inverse, floor)
