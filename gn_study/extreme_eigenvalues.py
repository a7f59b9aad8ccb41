"""Largest eigenvalues of positive semi-definite matrices and of their inverses."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

POWER_ITERATIONS, VECTORS = 5, 4
"""For an estimate: enough for its first digits."""

MOST_KRYLOV_STEPS = 60
SETTLED = 1e-7
"""Residual of the largest eigenvalue, relative to it, at which it is taken for settled; its own
error is about the square of that."""


def largest_eigenvalue(gram: Tensor) -> float:
    """The largest eigenvalue: within a Krylov space, or by all of them if that does not settle.

    Args:
        gram: Positive semi-definite, `(num_rows, num_rows)`.
    """
    basis = functional.normalize(_drawn(gram, 1), dim=0)
    products = gram @ basis
    for _ in range(min(MOST_KRYLOV_STEPS, len(gram))):
        values, vectors = torch.linalg.eigh(basis.T @ products)
        residual = products @ vectors[:, -1] - values[-1] * (basis @ vectors[:, -1])
        if float(residual.norm()) <= SETTLED * float(values[-1]):
            return float(values[-1])
        added = products[:, -1:]
        for _ in range(2):  # Once leaves what rounding has mixed in.
            added = added - basis @ (basis.T @ added)
        added = functional.normalize(added, dim=0)
        basis = torch.cat([basis, added], dim=1)
        products = torch.cat([products, gram @ added], dim=1)
    return float(torch.linalg.eigvalsh(gram)[-1])


def matrix_norm(gram: Tensor) -> float:
    """The largest eigenvalue, estimated from below.

    Args:
        gram: Positive semi-definite, `(num_rows, num_rows)`.
    """
    return _estimated_norm(lambda vectors: gram @ vectors, gram)


def inverse_norm(lower: Tensor) -> float:
    """The largest eigenvalue of the inverse, estimated from below.

    Args:
        lower: Cholesky factor of a positive definite matrix, `(num_rows, num_rows)`.
    """
    return _estimated_norm(lambda vectors: torch.cholesky_solve(vectors, lower), lower)


def _estimated_norm(multiply: Callable[[Tensor], Tensor], like: Tensor) -> float:
    # A few vectors at once cost as much as one, and settle earlier.
    vectors = _drawn(like, VECTORS)
    for _ in range(POWER_ITERATIONS):
        vectors = multiply(torch.linalg.qr(vectors).Q)
    return float(torch.linalg.matrix_norm(vectors, 2))


def _drawn(like: Tensor, number: int) -> Tensor:
    """Vectors that are orthogonal to no eigenvector, the same every time."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(like), number, generator=generator, dtype=torch.float64).to(like)
