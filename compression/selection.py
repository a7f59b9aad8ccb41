"""Which weights go: scores of what each costs, and one step of pruning."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from compression.compensation import group_update, single_update
from compression.curvature import Curvature
from compression.errors import SparsityError, StructureError
from compression.factored import Factored
from compression.objective import MeanLoss
from compression.problem import Problem
from compression.saliency import saliency
from compression.structures import Candidates, Scope, Structure, select

Compensation: TypeAlias = Literal["group", "single", "none"]
"""How kept weights make up for removed ones; see `compression.compensation`."""


@dataclass(frozen=True)
class PruningStep:
    """All that a solver needs to remove more weights.

    Attributes:
        problem: Model, likelihood, weights and damping.
        curvature: At the present weights; of the kept ones, or of all for a solver that eliminates.
        weights: Before the step, `(size,)`; 0 where removed.
        mask: What is kept before, bool `(size,)`.
        structure: In which patterns weights may go.
        candidates: What may go as one.
        scope: Whether the sparsity is that of all layers together, or of each.
        sparsity: Of the weights that the structure reaches, after the step.
        loss: The problem's, over all examples, for solvers that look at it.
    """

    problem: Problem
    curvature: Curvature
    weights: Tensor
    mask: Tensor
    structure: Structure
    candidates: Candidates
    scope: Scope
    sparsity: float
    loss: MeanLoss

    def parts(self, solver: str) -> Iterator[Factored]:
        """The inverse part by part, for a solver that removes weights one by one.

        Args:
            solver: What the error calls it.

        Raises:
            StructureError: The inverse is not known so, or the structure is another.
        """
        parts = self.curvature.factored()
        if parts is None or self.structure != "unstructured":
            raise StructureError(
                f"{solver} needs unstructured sparsity and an inverse that is known part by part: "
                "a learned one, BlockFisher or LayerwiseHessian"
            )
        return parts

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
        eliminates: Whether it takes removed weights out of the curvature itself, which is then to
            be that of all weights, removed ones too: such an inverse changes little from stage to
            stage, and a Kronecker product is nearer to it than to that of the kept weights alone.
    """

    @property
    def eliminates(self) -> bool:
        """Whether it takes removed weights out of the curvature of all weights itself."""

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
    def eliminates(self) -> bool:
        """No."""
        return False

    def __call__(self, step: PruningStep) -> tuple[Tensor, Tensor]:
        """New mask and weights."""
        curvature, diagonal = step.curvature, step.curvature.inverse_diagonal()
        mask = self._selected(step, diagonal)
        removed = step.mask & ~mask
        if not curvature.compensates or self.compensation == "none" or not bool(removed.any()):
            return mask, torch.where(mask, step.weights, 0)
        free = step.candidates.free(step.mask, mask)

        def product(vectors: Tensor) -> Tensor:
            # What goes for nothing neither needs to be made up for nor helps.
            inverse = curvature.inverse_product(vectors.masked_fill(free, 0))
            return inverse.masked_fill(free, 0)

        charged = removed & ~free
        if self.compensation == "single":
            weights = single_update(step.weights, charged, product, diagonal)
        else:
            weights = group_update(
                *(step.weights, charged, product, diagonal),
                self.tolerance,
                self.max_iterations,
            )
        return mask, torch.where(mask, weights, 0)

    def _selected(self, step: PruningStep, diagonal: Tensor) -> Tensor:
        """What is kept after the cheapest have gone."""
        candidates = step.candidates
        if not candidates.parts:
            return step.select(saliency(step.weights, diagonal))
        costs = torch.zeros(
            candidates.num_atoms, dtype=step.weights.dtype, device=step.weights.device
        )
        for part in candidates.parts:
            losses = step.curvature.group_losses(step.weights, part.positions)
            costs.index_add_(0, part.atoms, losses.to(costs))
        return step.select_atoms(costs)


def require_reachable(candidates: Candidates, mask: Tensor, sparsity: float, scope: Scope) -> None:
    """Refuse a sparsity that cannot be reached from a mask.

    Args:
        candidates: What can be removed.
        mask: What is kept now, bool `(size,)`.
        sparsity: That is asked for.
        scope: Whether each layer rounds its own number of removed weights, or all together.

    Raises:
        SparsityError: Less than is removed already, or more than the structure allows.
    """
    if not 0 <= sparsity < 1:
        raise SparsityError(f"sparsity must be at least 0 and below 1, not {sparsity}")
    number = int(candidates.reachable.sum())
    removed = int((candidates.reachable & ~mask).sum())
    rounding = 0.5 * (len(torch.unique(candidates.layers)) if scope == "layer" else 1)
    if sparsity * number + rounding < removed:
        raise SparsityError(
            f"sparsity {sparsity:g} is below the present {removed / number:g}: removed weights "
            "do not come back"
        )
    limit = candidates.limit
    if limit is not None and sparsity > limit.most / limit.groups.shape[1] + 0.5 / number:
        raise SparsityError(
            f"{limit.most} of {limit.groups.shape[1]} weights may go, so sparsity {sparsity:g} "
            "is out of reach"
        )
