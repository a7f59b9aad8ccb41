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


@dataclass(frozen=True)
class ExactlyCompensated:
    """Solver that lets another one remove, and compensates by the curvature's `forward_product`.

    Conjugate gradients, preconditioned by the curvature's inverse and ended early, take the
    directions of most curvature first; the more of them, the further the quadratic is trusted. The
    curvature must be that of the loss: `LearnedInverse`, not `LayerwiseHessian`.

    Attributes:
        solver: Removes, and says where compensation begins.
        first_order: Whether the loss' gradient is part of the quadratic: then the kept weights
            descend along it, too, before anything is removed and after. In stages that is a
            training; without, it is pruning alone. Nothing checks that the loss fell: where few
            examples or little damping let the step go too far, the network is ruined.
        iterations: Most products with the curvature, before and after each.
    """

    solver: Solver
    first_order: bool = False
    iterations: int = 10

    @property
    def needs_gradient(self) -> bool:
        """Whether a step must carry the gradient of the loss."""
        return self.first_order

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
        curvature, weights, slope = step.curvature, step.weights, step.gradient
        start = weights
        if slope is not None:
            start = weights + self._descent(slope, step.mask, curvature)
        mask, found = self.solver(replace(step, weights=start, gradient=None))
        pull = curvature.forward_product(found - weights)
        if slope is not None:
            pull = pull + slope
        return mask, found + self._descent(pull, mask, curvature)

    def _descent(self, pull: Tensor, mask: Tensor, curvature: Curvature) -> Tensor:
        """Near `-(F_KK)^-1 g_K` on the kept weights `K`, 0 elsewhere; all `(size,)`."""

        def kept(vector: Tensor) -> Tensor:
            return torch.where(mask, vector, 0)

        return conjugate_gradients(
            lambda vector: kept(curvature.forward_product(vector)),
            -kept(pull),
            lambda vector: kept(curvature.inverse_product(vector)),
            tolerance=TOLERANCE,
            max_iterations=self.iterations,
        ).values
