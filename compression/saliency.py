"""What removing weights costs to second order, alone or in groups."""

import torch
from torch import Tensor


def saliency(weights: Tensor, inverse_diagonal: Tensor) -> Tensor:
    """What removing each weight alone costs, `w^2 / (2 [F^-1]_ii)`.

    Args:
        weights: `(size,)`.
        inverse_diagonal: Diagonal of the inverse of the damped Fisher matrix, `(size,)`; 0 where
            a weight is removed already.

    Returns:
        `(size,)`, in nats; 0 where a weight is removed already.
    """
    alive = inverse_diagonal > 0
    return torch.where(alive, weights.square() / (2 * inverse_diagonal), 0)


def group_saliency(weights: Tensor, blocks: Tensor, indices: Tensor) -> Tensor:
    """What removing each group at once costs, `1/2 w_b' (Q_bb)^-1 w_b`.

    Args:
        weights: `(size,)`.
        blocks: Of the inverse of the damped Fisher matrix `Q`, `(num_groups, b, b)`; rows and
            columns of weights that are removed already are 0.
        indices: Positions of each group, int64 `(num_groups, b)`.

    Returns:
        `(num_groups,)`, in nats.
    """
    is_removed = blocks.diagonal(dim1=1, dim2=2) == 0
    filled = blocks + torch.diag_embed(is_removed.to(blocks.dtype))
    values = torch.where(is_removed, 0, weights[indices]).unsqueeze(2)
    solved: Tensor = torch.linalg.solve(filled, values)
    return (values * solved).sum(dim=(1, 2)) / 2
