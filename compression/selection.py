"""Which weights go: scores of what each costs, and one step of pruning."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from compression.compensation import group_update, single_update
from compression.curvature import Curvature
from compression.problem import Problem
from compression.structures import Candidates, Scope, Structure, select

Compensation: TypeAlias = Literal["group", "single", "none"]
"""How kept weights make up for removed ones; see `compression.compensation`."""


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


@dataclass(frozen=True)
class PruningStep:
    """All that a solver needs to remove more weights.

    Attributes:
        problem: Model, likelihood, weights and damping.
        curvature: At the present weights and mask.
        weights: Before the step, `(size,)`; 0 where removed.
        mask: What is kept before, bool `(size,)`.
        structure: In which patterns weights may go.
        candidates: What may go as one.
        scope: Whether the sparsity is that of all layers together, or of each.
        sparsity: Of the weights that the structure reaches, after the step.
        gradient: Of the mean loss at the weights, `(size,)`; None if the solver does not need it.
    """

    problem: Problem
    curvature: Curvature
    weights: Tensor
    mask: Tensor
    structure: Structure
    candidates: Candidates
    scope: Scope
    sparsity: float
    gradient: Tensor | None = None

    def select(self, scores: Tensor) -> Tensor:
        """What is kept if the lowest of additive scores go, bool `(size,)`.

        Args:
            scores: Of each weight, `(size,)`; an atom of several weights has their sum.
        """
        return self.select_atoms(self.candidates.total(scores))

    def select_atoms(self, scores: Tensor) -> Tensor:
        """What is kept if the atoms of lowest score `(num_atoms,)` go, bool `(size,)`."""
        return select(self.candidates, scores, self.mask, self.sparsity, self.scope)


class Solver(Protocol):
    """Chooses what goes in a step of pruning, and what becomes of the rest.

    Attributes:
        needs_gradient: Whether a step must carry the gradient of the loss.
    """

    @property
    def needs_gradient(self) -> bool:
        """Whether a step must carry the gradient of the loss."""

    def __call__(self, step: PruningStep) -> tuple[Tensor, Tensor]:
        """New mask, bool `(size,)`, and new weights `(size,)`, exactly 0 where removed."""


@dataclass(frozen=True)
class RankAndCompensate:
    """Ranks by what each weight or group would cost alone, then compensates for all.

    Attributes:
        compensation: How; curvature that only ranks is not asked to compensate.
        tolerance: Of the exact group update.
        max_iterations: Of the exact group update.
    """

    compensation: Compensation = "group"
    tolerance: float = 1e-5
    max_iterations: int = 200

    @property
    def needs_gradient(self) -> bool:
        """No: to first order, a trained network's loss does not change."""
        return False

    def __call__(self, step: PruningStep) -> tuple[Tensor, Tensor]:
        """New mask and weights."""
        curvature, diagonal = step.curvature, step.curvature.inverse_diagonal()
        groups = step.candidates.groups
        if groups is None:
            mask = step.select(saliency(step.weights, diagonal))
        else:
            blocks = curvature.inverse_blocks(groups)
            mask = step.select_atoms(group_saliency(step.weights, blocks, groups))
        removed = step.mask & ~mask
        if not curvature.compensates or self.compensation == "none" or not bool(removed.any()):
            return mask, torch.where(mask, step.weights, 0)
        if self.compensation == "single":
            product = curvature.inverse_product
            return mask, single_update(step.weights, removed, product, diagonal)
        weights = group_update(
            step.weights,
            removed,
            curvature.inverse_product,
            diagonal,
            self.tolerance,
            self.max_iterations,
        )
        return mask, weights
