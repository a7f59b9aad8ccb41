"""Preconditioned conjugate gradients for matrices known by their products alone."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from compression.errors import DivergedError

Product = Callable[[Tensor], Tensor]
"""A symmetric, positive semi-definite matrix times a vector `(size,)`."""


@dataclass(frozen=True)
class Solution:
    """What conjugate gradients found.

    Attributes:
        values: `(size,)`, of all iterates the one with the smallest residual.
        residual: Its residual, as a share of the right-hand side.
        iterations: How many products were taken.
    """

    values: Tensor
    residual: float
    iterations: int


@torch.no_grad()
def conjugate_gradients(
    product: Product,
    right: Tensor,
    preconditioner: Product,
    start: Tensor | None = None,
    tolerance: float = 1e-5,
    max_iterations: int = 200,
) -> Solution:
    """Solve `A x = b` for a symmetric, positive definite `A`.

    Args:
        product: Multiplies by `A`.
        right: `b`, `(size,)`.
        preconditioner: Multiplies by something near `A^-1`, symmetric and positive definite too.
        start: Where to begin; None for 0.
        tolerance: Ends when the residual falls to this share of `b`.
        max_iterations: Ends then in any case.

    Raises:
        DivergedError: A product is not a number.
    """
    size = right.norm()
    values = torch.zeros_like(right) if start is None else start.clone()
    residual = right.clone() if start is None else right - product(values)
    best = Solution(values.clone(), _share(residual, size), 0)
    direction = preconditioned = preconditioner(residual)
    decrease = residual @ preconditioned
    for iteration in range(1, max_iterations + 1):
        _require_number(decrease)
        if best.residual <= tolerance or decrease <= 0:
            break
        image = product(direction)
        curvature = direction @ image
        _require_number(curvature)
        # Rounding ends a search that has come as far as the precision allows.
        if not curvature > 0:
            break
        length = decrease / curvature
        values += length * direction
        residual -= length * image
        if _share(residual, size) < best.residual:
            best = Solution(values.clone(), _share(residual, size), iteration)
        preconditioned = preconditioner(residual)
        decrease, before = residual @ preconditioned, decrease
        direction = preconditioned + decrease / before * direction
    return best


def _require_number(value: Tensor) -> None:
    if bool(value.isnan()):
        raise DivergedError(
            "a product with the curvature is not finite: raise the damping or fit longer"
        )


def _share(residual: Tensor, size: Tensor) -> float:
    return 0.0 if size == 0 else float(residual.norm() / size)
