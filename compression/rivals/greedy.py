"""Optimal Brain Compression's order: one weight of a row after the other, exactly compensated."""

from dataclasses import dataclass

import torch
from torch import Tensor

from compression.errors import StructureError
from compression.rivals.layerwise import LayerwiseHessian
from compression.selection import PruningStep

REMOVALS_BETWEEN_COMPACTIONS = 64
"""Removed inputs stay in the matrices, as zeros, until so many have gathered."""


def removal_costs(weights: Tensor, inverse: Tensor) -> Tensor:
    """Remove every row's weights greedily, to the last, and say what each removal cost.

    At each step a row loses the weight of the least `w^2 / (2 [H^-1]_jj)`, the others make up for
    it, and the row's inverse is downdated (Frantar and Alistarh, 2022, algorithm 1).

    Args:
        weights: `(rows, inputs)`; zeros go first, at no cost.
        inverse: Of each row's Hessian, `(rows, inputs, inputs)`, or one for all with one row; where
            rows and columns are 0, the weight is removed already.

    Returns:
        `(rows, inputs)`: the largest cost of a removal in the row up to and with this weight's, so
        that removing all weights below a bound is a beginning of each row's order.
    """
    num_rows, num_inputs = weights.shape
    weights = weights.clone()
    inverse = inverse.expand(num_rows, -1, -1).clone()
    diagonal = inverse.diagonal(dim1=1, dim2=2)
    diagonal.masked_fill_(diagonal == 0, 1)
    place = torch.arange(num_inputs, device=weights.device).repeat(num_rows, 1)
    costs = torch.zeros_like(weights)
    highest = torch.zeros(num_rows, 1, dtype=weights.dtype, device=weights.device)
    is_left = torch.ones_like(weights, dtype=torch.bool)
    row = torch.arange(num_rows, device=weights.device).unsqueeze(1)
    for removed in range(1, num_inputs + 1):
        diagonal = inverse.diagonal(dim1=1, dim2=2)
        single = torch.where(is_left, weights.square() / (2 * diagonal), torch.inf)
        cost, chosen = single.min(dim=1, keepdim=True)
        highest = torch.maximum(highest, cost)
        costs.scatter_(1, place.gather(1, chosen), highest)
        column = inverse[row, chosen].squeeze(1)
        pivot = column.gather(1, chosen)
        weights -= column * (weights.gather(1, chosen) / pivot)
        inverse.baddbmm_((column / pivot).unsqueeze(2), column.unsqueeze(1), alpha=-1)
        is_left.scatter_(1, chosen, value=False)
        if removed % REMOVALS_BETWEEN_COMPACTIONS == 0 and removed < num_inputs:
            left = is_left.nonzero()[:, 1].view(num_rows, -1)
            weights, place = weights.gather(1, left), place.gather(1, left)
            inverse = inverse[row.unsqueeze(2), left.unsqueeze(2), left.unsqueeze(1)]
            is_left = torch.ones_like(weights, dtype=torch.bool)
    return costs


@dataclass(frozen=True)
class GreedyByRow:
    """Solver that removes by greedy costs within rows, compared across rows and layers.

    It needs `LayerwiseHessian` and unstructured sparsity; the kept weights of each row are the
    least squares solution on its support.
    """

    needs_gradient: bool = False

    def __call__(self, step: PruningStep) -> tuple[Tensor, Tensor]:
        """Mask and weights after a step of pruning.

        Raises:
            StructureError: The curvature or the structure is another.
        """
        curvature = step.curvature
        if not isinstance(curvature, LayerwiseHessian) or step.structure != "unstructured":
            raise StructureError(
                "greedy removal by rows needs curvature LayerwiseHessian and unstructured sparsity"
            )
        costs = torch.zeros_like(step.weights)
        for slot in curvature.matrices():
            rows = step.weights[slot.positions].view(slot.shape[0], -1)
            costs[slot.positions] = removal_costs(rows, curvature.inverse(slot)).view(-1)
        mask = step.select(costs)
        return mask, curvature.compensated(step.weights, mask)
