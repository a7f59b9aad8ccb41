"""Kept weights moved by the exact Fisher matrix, before and after another solver removes.

The inverse that is learned says well what goes, and less well what the rest should become: no
Kronecker product is the inverse of the Fisher matrix of a few kept weights. That matrix itself is
known by its products, and the learned inverse makes few of them enough.

To second order, removing weights from `w` where the loss has a gradient `g` is the same as removing
them from the least point `w - F^-1 g`, where it has none. A network that was not trained to its
end, or was pruned a stage before, is not at its least point; what it gains on the way there pays
for part of what is removed. CHITA (Benbaki et al., 2023, arXiv 2302.14623) has the gradient in one
quadratic of few gradients, under the name of first-order term.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from compression.conjugate_gradients import conjugate_gradients
from compression.curvature import Curvature
from compression.selection import PruningStep, Solver

TOLERANCE = 1e-3
"""Of conjugate gradients: the quadratic itself is not known any better."""

RAISES = 7
"""Times that damping is raised before a step along the gradient is given up."""


@dataclass(frozen=True)
class ExactlyCompensated:
    """Solver that lets another one remove, and compensates by the curvature's `forward_product`.

    Conjugate gradients, preconditioned by the curvature's inverse and ended early, take the
    directions of most curvature first; the more of them, the further the quadratic is trusted. The
    curvature must be that of the loss: `LearnedInverse`, not `LayerwiseHessian`.

    Attributes:
        solver: Removes, and says where compensation begins.
        first_order: Whether the loss' gradient is part of the quadratic: then the kept weights
            descend along it, too, before anything is removed and after, damped until the loss
            itself falls. In stages that is a training; without, it is pruning alone.
        iterations: Most products with the curvature for a step.
    """

    solver: Solver
    first_order: bool = False
    iterations: int = 10

    @property
    def eliminates(self) -> bool:
        """As the other solver."""
        return self.solver.eliminates

    @torch.no_grad()
    def __call__(self, step: PruningStep) -> tuple[Tensor, Tensor]:
        """Mask and weights after a step of pruning.

        Raises:
            NotFittedError: The curvature has no forward product.
        """
        weights = step.weights
        if not self.first_order:
            mask, found = self.solver(step)
            pull = step.curvature.forward_product(found - weights)
            return mask, found + self._direction(pull, mask, step.curvature)
        slope = step.loss.gradient(weights)
        start = self._descended(step, weights, slope, step.mask)
        mask, found = self.solver(replace(step, weights=start))
        pull = slope + step.curvature.forward_product(found - weights)
        return mask, self._descended(step, found, pull, mask)

    def _descended(self, step: PruningStep, weights: Tensor, pull: Tensor, mask: Tensor) -> Tensor:
        """Where the loss is less than at the weights, or the weights themselves.

        While it is not, damping is raised tenfold: the step turns from Newton's to the gradient's
        and becomes shorter, as Levenberg and Marquardt have it.
        """
        before = step.loss.value(weights)
        for raises in range(RAISES + 1):
            damping = step.problem.damping * (10.0**raises - 1)
            moved = weights + self._direction(pull, mask, step.curvature, damping)
            if step.loss.value(moved) < before:
                return moved
        return weights

    def _direction(
        self, pull: Tensor, mask: Tensor, curvature: Curvature, damping: float = 0.0
    ) -> Tensor:
        """Near `-(F_KK + damping I)^-1 g_K` on the kept weights `K`, 0 elsewhere; all `(size,)`."""

        def kept(vector: Tensor) -> Tensor:
            return torch.where(mask, vector, 0)

        def product(vector: Tensor) -> Tensor:
            return kept(curvature.forward_product(vector) + damping * vector)

        return conjugate_gradients(
            product,
            -kept(pull),
            lambda vector: kept(curvature.inverse_product(vector)),
            tolerance=TOLERANCE,
            max_iterations=self.iterations,
        ).values
