"""Greedy removal: one weight of a row after the other, the others making up for it at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from compression.compensation import group_update
from compression.factored import Rows
from compression.selection import PruningStep

REMOVALS_BETWEEN_COMPACTIONS = 64
"""Removed inputs stay in the matrices, as zeros, until so many have gathered."""

TOLERANCE, MAX_ITERATIONS = 1e-6, 600
"""Of the group update: of very many weights that go, little is left to make up for them."""


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

    A row is what an output of a layer reads. While one of its weights goes after the other, the
    others make up for it at once, so that the set is found as a set, at the price of about
    `rows inputs^3` operations a layer, `inputs` being those that a row still reads; between rows,
    costs are taken to add up. The kept weights are the least ones on their support. It needs
    unstructured sparsity and an inverse that is known part by part: that of a family, or of
    `LayerwiseHessian` for Optimal Brain Compression.
    """

    @property
    def eliminates(self) -> bool:
        """Yes: removed weights are taken out of each row's Hessian."""
        return True

    @torch.no_grad()
    def __call__(self, step: PruningStep) -> tuple[Tensor, Tensor]:
        """Mask and weights after a step of pruning.

        Raises:
            StructureError: The curvature or the structure is another.
        """
        parts = list(step.parts("greedy removal by rows"))
        costs = torch.zeros_like(step.weights)
        for part in parts:
            for rows in part.by_row():
                _add_costs(costs, step, rows)
        mask = step.select(costs)
        if any(part.row_gram is not None for part in parts):
            weights = group_update(
                step.weights,
                ~mask,
                step.curvature.inverse_product,
                step.curvature.inverse_diagonal(),
                TOLERANCE,
                MAX_ITERATIONS,
            )
        else:
            weights = step.weights.clone()
            for part in parts:
                for rows in part.by_row():
                    _compensate(weights, mask, rows)
        return mask, torch.where(mask, weights, 0)


def _add_costs(costs: Tensor, step: PruningStep, rows: Rows) -> None:
    """Costs `(size,)` of the removable weights of some rows, in place.

    A block of the inverse leaves all outside of it free to make up for what goes, so weights that
    stay whatever happens, such as biases, are left out of it.
    """
    left = rows.left_without(_removed(rows, step.mask))
    place = left.positions.clamp(min=0)
    removable = left.is_left & step.candidates.reachable[place]
    both = removable.unsqueeze(2) & removable.unsqueeze(1)
    weights = torch.where(removable, step.weights[place], 0)
    found = removal_costs(weights, torch.where(both, left.inverse, 0))
    costs[place[removable]] = found[removable]


def _compensate(weights: Tensor, mask: Tensor, rows: Rows) -> None:
    """Move kept weights `(size,)` of some rows, in place, to the least ones under a mask."""
    there = rows.positions >= 0
    pulled = torch.zeros_like(weights)
    of_rows = torch.where(there, weights[rows.positions.clamp(min=0)], 0)
    pulled[rows.positions[there]] = rows.hessian_product(of_rows)[there]
    left = rows.left_without(_removed(rows, mask))
    place = left.positions.clamp(min=0)
    pull = torch.where(left.is_left, pulled[place], 0).unsqueeze(2)
    weights[place[left.is_left]] = (left.inverse @ pull).squeeze(2)[left.is_left]


def _removed(rows: Rows, mask: Tensor) -> Tensor:
    """Which weights of rows are removed, `(rows, columns)`."""
    return (rows.positions >= 0) & ~mask[rows.positions.clamp(min=0)]
