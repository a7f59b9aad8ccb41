r"""FishLeg's auxiliary loss, whose least point is an inverse Fisher matrix (arXiv 2412.02328).

With `F` the Fisher matrix of a batch, `g` the damping and `u` a random direction, the auxiliary
loss of a matrix `Q` is `A(Q) = 1/2 u'Q (F + g I) Q u - u'Q u`: convex in `v = Q u`, and least, over
all symmetric matrices and white `u`, at `Q = (F + g I)^-1`. Its gradient in the parameters of `Q`
is that of `<c, Q u>` with the residual `c = (F + g I) v - u` held fixed: one Fisher product, and no
derivative of the network is differentiated again. The preconditioned loss puts `Q c` for `c`, which
makes all directions converge alike where `Q` is unconstrained (Newton-Schulz), and moves the best
fit of Kronecker families.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from compression.errors import DivergedError
from compression.operators import InverseOperator

BETAS = (0.9, 0.99)
"""Of Adam. The second moment forgets fast: residuals shrink by orders of magnitude as learning goes
on, and steps should not."""

EPSILON = 0.1
"""Of Adam, where derivatives begin near 1: as they fall below, its steps of constant length become
gradient descent, which comes to rest."""


@dataclass(frozen=True)
class AuxiliaryLoss:
    """The auxiliary loss for one batch and direction.

    Attributes:
        surrogate: `()`; its gradient in the parameters of the operator is the wanted one, up to a
            positive factor.
        value: `1/2 v'(F + g I)v - u'v` for `v = Q u`, as a share of `|u|^2`.
        residual: `|c| / (|(F + g I) v| + |u|)`: 0 where `Q u` is exact, at most 1.
    """

    surrogate: Tensor
    value: float
    residual: float


def auxiliary_loss(
    operator: InverseOperator,
    damped_product: Callable[[Tensor], Tensor],
    direction: Tensor,
    mask: Tensor | None = None,
    precondition: bool = False,
) -> AuxiliaryLoss:
    """The auxiliary loss of an operator.

    Args:
        operator: `Q`, whose parameters are learned.
        damped_product: `v -> (F + g I) v`, not differentiated.
        direction: `u`, `(size,)`; of any length, which does not matter. Along 0, where nothing can
            be learned, everything is 0.
        mask: Bool `(size,)`, True where a weight is kept; None for all. With it, the best fit is
            the inverse of the Fisher matrix of the kept weights alone.
        precondition: Whether the residual is multiplied by the operator.

    Returns:
        With the surrogate `size <c, Q u> / (|v| |u|)`, or `size <Q c, Q u> / |v|^2`: whatever the
        size and the damping, a parameter's derivative is of the order of 1.

    Raises:
        DivergedError: The loss is not finite.
    """
    direction = _of_order_one(masked(direction, mask))
    solution = masked(operator.product(direction), mask)
    if not bool(direction.any()):
        return AuxiliaryLoss(solution.sum(), 0.0, 0.0)
    with torch.no_grad():
        fixed = solution.detach()
        image = masked(damped_product(fixed), mask)
        residual = image - direction
        size, length = direction.norm(), fixed.norm()
        pull = residual / (size * length)
        if precondition:
            pull = masked(operator.product(residual), mask) / length.square()
        value = ((image @ fixed) / 2 - direction @ fixed) / size.square()
        share = residual.norm() / (image.norm() + size)
    if not math.isfinite(float(value)):
        raise DivergedError(
            "the auxiliary loss is not finite: lower the learning rate, raise the damping, or look "
            "for NaN in the data"
        )
    surrogate = len(direction) * (pull @ solution)
    return AuxiliaryLoss(surrogate, float(value), float(share))


def _of_order_one(direction: Tensor) -> Tensor:
    """A direction, scaled so that its largest entry is at least 1/2 and below 1.

    The loss is the same at any length, but squares of a batch's last gradients, once it is fitted,
    are below the least number. The factor is a power of 2, so that nothing is rounded.
    """
    _, exponent = math.frexp(float(direction.abs().max()))
    half = -exponent // 2
    # In two steps, as one factor for the least numbers would be above the largest.
    return direction * 2.0**half * 2.0 ** (-exponent - half)


def masked(vector: Tensor, mask: Tensor | None) -> Tensor:
    """A vector `(size,)` with 0 where a mask is False; as it is without a mask."""
    return vector if mask is None else torch.where(mask, vector, 0)
