r"""Which weights to keep and what they become, chosen together on a quadratic model of the loss.

Ranking single weights ignores that two removed weights may have made up for each other. Here the
problem is taken as it is: minimise `1/2 d'Hd + slope'd` over changes `d` of the weights after which
only so many are not zero. CHITA (Benbaki et al., 2023, arXiv 2302.14623) does so on the quadratic
of a few gradients; nothing here asks more of `H` than products with vectors, so it can as well be
the exact Fisher matrix. Three parts:

1. Hard thresholding: a gradient step in a diagonal metric, then all but the largest weights are
   removed; the step is the exact line search on the present support.
2. Swaps: at the least point on the support, weights that would gain most come in for those that
   cost least, as many as lower the quadratic.
3. Conjugate gradients on the support: the exact compensation of what was removed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from compression.conjugate_gradients import conjugate_gradients
from compression.selection import PruningStep

Choose = Callable[[Tensor], Tensor]
"""From scores `(size,)` to the mask of what is kept: the highest, as structure and sparsity ask."""

SHORTENINGS = 6
"""How often a step that does not lower the quadratic is halved before thresholding ends."""

TIMIDITY = 1.5
"""Factor by which swaps that do not lower the quadratic make the next ones fewer."""


@dataclass(frozen=True)
class Quadratic:
    """`1/2 d'Hd + slope'd` for a change `d` of the weights; all vectors are `(size,)`.

    Attributes:
        product: `v -> H v`, positive definite on what may be kept.
        anchor: Weights that the change counts from.
        slope: Gradient at the anchor; zeros to leave the first order out.
        metric: Positive diagonal that stands for `H` in steps and swaps.
    """

    product: Callable[[Tensor], Tensor]
    anchor: Tensor
    slope: Tensor
    metric: Tensor

    def gradient(self, weights: Tensor) -> Tensor:
        """Gradient at some weights."""
        return self.product(weights - self.anchor) + self.slope

    def value(self, weights: Tensor, gradient: Tensor) -> float:
        """The quadratic at some weights, whose gradient is known."""
        return float((weights - self.anchor) @ (gradient + self.slope)) / 2

    def importance(self, weights: Tensor) -> Tensor:
        """Twice what removing each weight alone would cost in the metric."""
        return self.metric * weights.square()


@dataclass(frozen=True)
class Candidate:
    """Weights under a mask, and the quadratic there.

    Attributes:
        mask: Bool `(size,)`, True where a weight is kept.
        weights: 0 where removed, `(size,)`.
        gradient: Of the quadratic at these weights, `(size,)`.
        value: Of the quadratic.
    """

    mask: Tensor
    weights: Tensor
    gradient: Tensor
    value: float

    @classmethod
    def at(cls, quadratic: Quadratic, mask: Tensor, weights: Tensor) -> "Candidate":
        """Weights, those outside the mask removed."""
        kept = torch.where(mask, weights, 0)
        gradient = quadratic.gradient(kept)
        return cls(mask, kept, gradient, quadratic.value(kept, gradient))


@dataclass(frozen=True)
class Effort:
    """How long to search.

    Attributes:
        thresholding_steps: Most steps of hard thresholding.
        swap_rounds: Most rounds of swaps.
        swap_iterations: Conjugate gradient steps after each round.
        final_iterations: Conjugate gradient steps on the final support.
        tolerance: Conjugate gradients end at this share of the gradient's first norm.
    """

    thresholding_steps: int = 3
    swap_rounds: int = 20
    swap_iterations: int = 8
    final_iterations: int = 80
    tolerance: float = 1e-5


@dataclass(frozen=True)
class JointSelection:
    """Solver of a step of pruning that chooses and compensates as one problem.

    The quadratic is the curvature's own `forward_product`; its inverse diagonal gives the metric,
    `1 / [F^-1]_ii`: what a weight costs when all others make up for it.

    Args:
        first_order: Weight of the gradient of the loss; 0 leaves it out, 1 is the loss' own where
            the curvature is the Fisher matrix. Curvature from gradients of groups of `b` examples
            is `1/b` of that, and so should be this.
        effort: How long to search.
    """

    first_order: float = 0.0
    effort: Effort = Effort()

    @property
    def eliminates(self) -> bool:
        """No."""
        return False

    @torch.no_grad()
    def __call__(self, step: PruningStep) -> tuple[Tensor, Tensor]:
        """New mask, bool `(size,)`, and new weights `(size,)`, exactly 0 where removed.

        Raises:
            NotFittedError: The curvature has no forward product.
        """
        diagonal = step.curvature.inverse_diagonal()
        slope = torch.zeros_like(step.weights)
        if self.first_order:
            slope = self.first_order * torch.where(step.mask, step.loss.gradient(step.weights), 0)
        quadratic = Quadratic(
            step.curvature.forward_product,
            torch.where(step.mask, step.weights, 0),
            slope,
            torch.where(step.mask, diagonal, 1).reciprocal(),
        )
        found = choose_jointly(quadratic, step.select, self.effort)
        return found.mask, found.weights


def choose_jointly(quadratic: Quadratic, choose: Choose, effort: Effort) -> Candidate:
    """Weights to keep and their values that make the quadratic small.

    A local search: the problem itself is as hard as any (best subset selection).

    Args:
        quadratic: Model of the loss.
        choose: Decides what is kept, given scores; the same number whatever the scores.
        effort: How long to search.
    """
    found = _thresholded(quadratic, choose, effort.thresholding_steps)
    found = least_on_support(quadratic, found, effort.swap_iterations, effort.tolerance)
    found = _swapped(quadratic, choose, found, effort)
    return least_on_support(quadratic, found, effort.final_iterations, effort.tolerance)


def least_on_support(
    quadratic: Quadratic, start: Candidate, iterations: int, tolerance: float
) -> Candidate:
    """Move the kept weights towards the quadratic's least point, by conjugate gradients.

    Args:
        quadratic: Model of the loss; its metric preconditions.
        start: Where to begin, and which weights move.
        iterations: Most steps.
        tolerance: Where to end, as a share of the gradient's norm at the start.
    """

    def product(vector: Tensor) -> Tensor:
        return torch.where(start.mask, quadratic.product(vector), 0)

    solution = conjugate_gradients(
        product,
        torch.where(start.mask, -start.gradient, 0),
        lambda vector: vector / quadratic.metric,
        tolerance=tolerance,
        max_iterations=iterations,
    )
    return Candidate.at(quadratic, start.mask, start.weights + solution.values)


def _thresholded(quadratic: Quadratic, choose: Choose, steps: int) -> Candidate:
    """Iterative hard thresholding in the metric, from the anchor's largest weights."""
    mask = choose(quadratic.importance(quadratic.anchor))
    best = Candidate.at(quadratic, mask, quadratic.anchor)
    for _ in range(steps):
        found = _lower(quadratic, choose, best)
        if found is None:
            break
        best = found
    return best


def _lower(quadratic: Quadratic, choose: Choose, best: Candidate) -> Candidate | None:
    """One step of hard thresholding, shortened until it lowers the quadratic; None if it cannot."""
    direction = torch.where(best.mask, best.gradient, 0) / quadratic.metric
    bend = float(direction @ quadratic.product(direction))
    step = float(direction @ best.gradient) / bend if bend > 0 else 1.0
    for _ in range(SHORTENINGS):
        moved = best.weights - step * best.gradient / quadratic.metric
        found = Candidate.at(quadratic, choose(quadratic.importance(moved)), moved)
        if found.value < best.value:
            return found
        step /= 2
    return None


def _swapped(quadratic: Quadratic, choose: Choose, best: Candidate, effort: Effort) -> Candidate:
    """Exchange kept for removed weights while it lowers the quadratic.

    A removed weight's own least point is `-gradient / metric`; what it gains and what a kept one
    costs compare as importances. Scaling the former down lets only the clearest swaps through.
    """
    eagerness = 1.0
    for _ in range(effort.swap_rounds):
        newcomers = -eagerness * best.gradient / quadratic.metric
        moved = torch.where(best.mask, best.weights, newcomers)
        mask = choose(quadratic.importance(moved))
        if torch.equal(mask, best.mask):
            break
        found = Candidate.at(quadratic, mask, moved)
        found = least_on_support(quadratic, found, effort.swap_iterations, effort.tolerance)
        if found.value < best.value:
            best = found
        else:
            eagerness /= TIMIDITY
    return best
