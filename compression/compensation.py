r"""How the weights that stay make up for those that go.

To second order, removing the set `P` of the weights `w` costs `1/2 d'F d` with `d_P = -w_P`. The
best `d` is `-Q_:P (Q_PP)^-1 w_P`, with `Q` the inverse of the damped Fisher matrix `F`: the exact
group update. Taking each weight as if it went alone, `d = -Q (w / diag Q)` on `P`, takes one
product and may be worse than no compensation where many weights go that share their work.
"""

import torch
from torch import Tensor

from compression.conjugate_gradients import Product, conjugate_gradients


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

    def product(vector: Tensor) -> Tensor:
        return torch.where(removed, inverse_product(torch.where(removed, vector, 0)), 0)

    def preconditioner(vector: Tensor) -> Tensor:
        return torch.where(removed, vector / inverse_diagonal, 0)

    right = torch.where(removed, weights, 0)
    solution = conjugate_gradients(
        product, right, preconditioner, tolerance=tolerance, max_iterations=max_iterations
    )
    return (weights - inverse_product(solution.values)).masked_fill(removed, 0)


@torch.no_grad()
def single_update(
    weights: Tensor, removed: Tensor, inverse_product: Product, inverse_diagonal: Tensor
) -> Tensor:
    """Remove weights as if each went alone, at the cost of one product.

    Exact for one weight. Arguments and result as of `group_update`.
    """
    each = torch.where(removed, weights / inverse_diagonal, 0)
    return (weights - inverse_product(each)).masked_fill(removed, 0)
