r"""How the weights that stay make up for those that go.

To second order, removing the set `P` of the weights `w` costs `1/2 d'F d` with `d_P = -w_P`. The
best `d` is `-Q_:P (Q_PP)^-1 w_P`, with `Q` the inverse of the damped Fisher matrix `F`: the exact
group update. Taking each weight as if it went alone, `d = -Q (w / diag Q)` on `P`, takes one
product and may be worse than no compensation where many weights go that share their work.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from compression.conjugate_gradients import Product, conjugate_gradients


@dataclass(frozen=True)
class Update:
    """Best change of all weights under constraints on some.

    Attributes:
        change: `(size,)`, exactly as constrained where it is.
        multipliers: `(Q_PP)^-1 d_P`, `(size,)`; 0 where nothing is constrained.
    """

    change: Tensor
    multipliers: Tensor


@torch.no_grad()
def constrained_update(
    fixed: Tensor,
    change: Tensor,
    inverse_product: Product,
    inverse_diagonal: Tensor,
    start: Tensor | None = None,
    tolerance: float = 1e-5,
    max_iterations: int = 200,
) -> Update:
    """Change some weights as told and the others for the best: `Q_PP x = d_P`, then `Q x`.

    Args:
        fixed: `P`, bool `(size,)`.
        change: `d`, `(size,)`; what is not fixed does not count.
        inverse_product: Multiplies by the inverse of the kept weights' damped Fisher matrix, 0 for
            what went before.
        inverse_diagonal: Its diagonal `(size,)`, the preconditioner.
        start: Multipliers to begin at, `(size,)`; None for 0.
        tolerance: Of conjugate gradients.
        max_iterations: Of conjugate gradients.
    """

    def product(vector: Tensor) -> Tensor:
        return torch.where(fixed, inverse_product(torch.where(fixed, vector, 0)), 0)

    def preconditioner(vector: Tensor) -> Tensor:
        return torch.where(fixed, vector / inverse_diagonal, 0)

    right = torch.where(fixed, change, 0)
    solution = conjugate_gradients(product, right, preconditioner, start, tolerance, max_iterations)
    best = torch.where(fixed, change, inverse_product(solution.values))
    return Update(best, solution.values)


@torch.no_grad()
def group_update(
    weights: Tensor,
    removed: Tensor,
    inverse_product: Product,
    inverse_diagonal: Tensor,
    tolerance: float = 1e-5,
    max_iterations: int = 200,
) -> Tensor:
    """Remove weights all at once, exactly: `Q_PP x = w_P` by conjugate gradients, then `-Q x`.

    Args:
        weights: `(size,)`.
        removed: Bool `(size,)`, what goes now.
        inverse_product: Multiplies by the inverse of the kept weights' damped Fisher matrix, 0 for
            what went before.
        inverse_diagonal: Its diagonal `(size,)`, the preconditioner.
        tolerance: Of the solution.
        max_iterations: Of conjugate gradients.

    Returns:
        New weights `(size,)`, exactly 0 where removed.
    """
    update = constrained_update(
        *(removed, -weights, inverse_product, inverse_diagonal),
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    return (weights + update.change).masked_fill(removed, 0)


@torch.no_grad()
def single_update(
    weights: Tensor, removed: Tensor, inverse_product: Product, inverse_diagonal: Tensor
) -> Tensor:
    """Remove weights as if each went alone, at the cost of one product.

    Exact for one weight. Arguments and result as of `group_update`.
    """
    each = torch.where(removed, weights / inverse_diagonal, 0)
    return (weights - inverse_product(each)).masked_fill(removed, 0)
