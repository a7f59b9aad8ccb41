"""Removal in sweeps over the columns of a layer, for layers of thousands of inputs.

Greedy removal (`compression.greedy`) downdates an inverse for each row, about `rows inputs^3`
operations a layer. Where all rows visit the columns in one order instead, and what was visited
stands still, they share one triangle (SparseGPT; Frantar and Alistarh, 2023), and a layer takes
`rows inputs^2`. Three things bring it near to greedy removal here: a bound on the cost in place of
so many of each column, the cheapest columns first, and several passes with least squares between.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from compression.factored import Factored, in_order, inverses, triangle
from compression.joint import Candidate, Quadratic, least_on_support
from compression.schedules import geometric
from compression.selection import PruningStep

BLOCK = 128
"""Columns whose effect on the columns behind them is applied at once."""

MAX_SWEEPS = 16
"""In which the bound on costs is looked for."""

COUNT_TOLERANCE = 1e-2
"""Share by which the number of removed weights may differ from the goal in the search; the
selection itself is exact."""


def swept(weights: Tensor, factor: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
    """Cost of each weight's removal when its column's turn comes, all before it standing still.

    A weight that costs no more than its bound goes, and the weights of its row behind it make up
    for it. The costs of what went add up to what all of it costs.

    Args:
        weights: `(groups, columns, rows)`, in units in which all rows have one inverse.
        factor: Upper triangle `U` with `U'U` the inverse, `(groups, columns, columns)`.
        bound: As `weights`; infinite for what goes in any case, below 0 for what stays.

    Returns:
        Costs and weights after the sweep, 0 for what went; both as `weights`.
    """
    weights = weights.clone()
    pivots = factor.diagonal(dim1=1, dim2=2).unsqueeze(2)
    shares, squares = 1 / pivots, 2 * bound
    errors = torch.empty_like(weights)
    num_columns = weights.shape[1]
    for first in range(0, num_columns, BLOCK):
        last = min(first + BLOCK, num_columns)
        for column in range(first, last):
            error = errors[:, column]
            torch.mul(weights[:, column], shares[:, column], out=error)
            error.mul_(error.square() <= squares[:, column])
            behind = factor[:, column, column + 1 : last].unsqueeze(2)
            weights[:, column + 1 : last].baddbmm_(behind, error.unsqueeze(1), alpha=-1)
        block = factor[:, first:last, last:].mT
        weights[:, last:].baddbmm_(block, errors[:, first:last], alpha=-1)
    costs = (weights * shares).square() / 2
    return costs, torch.where(costs <= bound, 0, weights)


@dataclass(frozen=True)
class SweepByColumn:
    """Solver that removes in sweeps over the inputs of each layer, compared across layers.

    One bound on the cost holds for all rows and layers together, or for each layer if sparsity is
    each layer's, and is searched for. The kept weights are then the least ones on their support. It
    needs unstructured sparsity and an inverse that is known part by part: a learned one, or
    `LayerwiseHessian` for SparseGPT.

    Attributes:
        passes: In which a step removes, each the same share of what is left.
        tolerance: Of the least weights on the support.
        max_iterations: Of the conjugate gradients that find them after the last pass; after others
            it is a third.
    """

    passes: int = 4
    tolerance: float = 1e-3
    max_iterations: int = 30

    @property
    def eliminates(self) -> bool:
        """Yes: in each sweep what is removed goes again."""
        return True

    @torch.no_grad()
    def __call__(self, step: PruningStep) -> tuple[Tensor, Tensor]:
        """Mask and weights after a step of pruning.

        Raises:
            StructureError: The curvature or the structure is another.
            DivergedError: The inverse is not positive definite.
        """
        reachable = step.candidates.reachable
        layers = [
            _Layer(part, step)
            for part in step.parts("removal by sweeps")
            if bool(reachable[part.positions[part.positions >= 0]].any())
        ]
        dense = step.weights
        present = int((reachable & ~step.mask).sum()) / int(reachable.sum())
        # Of a sparsity that is reached, rounding to whole weights may be the larger one.
        sparsities = geometric(step.sparsity, self.passes, min(present, step.sparsity))
        for number, sparsity in enumerate(sparsities, start=1):
            iterations = self.max_iterations // (1 if number == self.passes else 3)
            step = replace(step, sparsity=sparsity)
            sweeps = [layer.sweep(step) for layer in layers]
            mask = step.select(_costs(sweeps, step))
            weights = torch.where(mask, step.weights, 0)
            for layer, sweep in zip(layers, sweeps, strict=True):
                sweep.compensate(weights, mask)
                layer.compensate(weights, dense, mask, self.tolerance, iterations)
            step = replace(step, mask=mask, weights=weights)
        return step.mask, step.weights


def _costs(sweeps: Sequence["_Sweep"], step: PruningStep) -> Tensor:
    """Costs `(size,)` in sweeps that remove about enough."""
    costs = torch.zeros_like(step.weights)
    for together in [sweeps] if step.scope == "global" else [[sweep] for sweep in sweeps]:
        number = sum(sweep.num_reachable for sweep in together)
        left = sum(int(sweep.is_removable.sum()) for sweep in together)
        goal = round(step.sparsity * number) - (number - left)
        if goal > 0:
            places = torch.cat([sweep.positions[sweep.is_removable] for sweep in together])
            costs[places] = _about_enough(together, goal)
    return costs


def _about_enough(sweeps: Sequence["_Sweep"], goal: int) -> Tensor:
    """Costs of what may go, in sweeps with the bound below which about so many of them lie."""
    costs = torch.cat([sweep.costs_alone() for sweep in sweeps])
    low, high = 0.0, math.inf
    for _ in range(MAX_SWEEPS):
        # What would be enough if costs stayed as they are, which they nearly do.
        bound = float(costs.kthvalue(goal).values)
        if not low < bound < high:
            bound = math.sqrt(max(low, high / 1e4) * high) if high < math.inf else 2 * low
        costs = torch.cat([sweep.costs(bound) for sweep in sweeps])
        count = int((costs <= bound).sum())
        if abs(count - goal) <= COUNT_TOLERANCE * goal or bound == 0:
            break
        low, high = (bound, high) if count < goal else (low, bound)
    return costs


@dataclass(frozen=True)
class _Sweep:
    """A layer with its columns in the order of a pass.

    Attributes:
        num_reachable: How many weights may go in all, or went before.
        positions: `(groups, columns, rows)`; 0 where the grid has nothing.
        is_kept: Which weights are kept before, as `positions`.
        is_removable: Which of them may go, as `positions`.
        root: Units of the weights, in which all rows have one inverse, as `positions`.
        weights: In those units, as `positions`.
        factor: Upper Cholesky factor of that inverse, `(groups, columns, columns)`.
    """

    num_reachable: int
    positions: Tensor
    is_kept: Tensor
    is_removable: Tensor
    root: Tensor
    weights: Tensor
    factor: Tensor

    def costs_alone(self) -> Tensor:
        """Costs of what may go if nothing went before it, `(number,)`."""
        costs = (self.weights / _diagonal(self.factor).unsqueeze(2)).square() / 2
        return costs[self.is_removable]

    def costs(self, bound: float) -> Tensor:
        """Costs of what may go, in one sweep, `(number,)`."""
        bounds = self._bounds(self.is_removable, bound)
        return swept(self.weights, self.factor, bounds)[0][self.is_removable]

    def compensate(self, weights: Tensor, mask: Tensor) -> None:
        """Near the least weights under a smaller mask, written over those of `(size,)`."""
        kept = self.is_kept & mask[self.positions]
        bounds = self._bounds(self.is_kept & ~kept, math.inf)
        found = swept(self.weights, self.factor, bounds)[1] * self.root
        weights[self.positions[kept]] = found[kept]

    def _bounds(self, is_free: Tensor, bound: float) -> Tensor:
        """For a sweep in which some weights may go, and what is removed before goes again."""
        bounds = torch.full_like(self.weights, -1.0).masked_fill_(is_free, bound)
        return bounds.masked_fill_(~self.is_kept, math.inf)


class _Layer:
    """A part of the inverse: all that does not change from pass to pass."""

    def __init__(self, part: Factored, step: PruningStep) -> None:
        self._part = part
        self._is_there = part.positions >= 0
        self._place = part.positions.clamp(min=0)
        self._root = part.root
        self._is_reachable = self._is_there & step.candidates.reachable[self._place]
        self._hessians: tuple[Tensor | None, Tensor] | None = None

    def sweep(self, step: PruningStep) -> _Sweep:
        """Ready for the sweeps of a pass: columns whose weights cost little come first."""
        kept = self._is_there & step.mask[self._place]
        weights = torch.where(kept, step.weights[self._place] / self._root, 0)
        cost = weights.square().sum(dim=1) / _diagonal(self._part.column_gram)
        order = cost.argsort(dim=1, stable=True)

        def turned(grid: Tensor) -> Tensor:
            return grid.mT.take_along_dim(order.unsqueeze(2), dim=1)

        return _Sweep(
            num_reachable=int(self._is_reachable.sum()),
            positions=turned(self._place),
            is_kept=turned(kept),
            is_removable=turned(kept & self._is_reachable),
            root=turned(self._root),
            weights=turned(weights),
            factor=triangle(in_order(self._part.column_gram, order, order), upper=True).to(weights),
        )

    def compensate(
        self, weights: Tensor, dense: Tensor, mask: Tensor, tolerance: float, max_iterations: int
    ) -> None:
        """Move kept weights, in place, to where they are least.

        Args:
            weights: To begin at, `(size,)`; 0 where the mask is False.
            dense: Before the step, `(size,)`, where the quadratic has its least point.
            mask: Bool `(size,)`.
            tolerance: Of conjugate gradients.
            max_iterations: Of conjugate gradients.
        """
        kept = self._is_there & mask[self._place]
        anchor = torch.where(self._is_there, dense[self._place], 0).flatten()
        present = torch.where(self._is_there, weights[self._place], 0).flatten()
        if torch.equal(anchor, present):
            return
        rows, columns = self._hessian()
        outer = 1 / self._part.outer
        diagonal = outer.square() * _diagonal(columns).unsqueeze(1)
        if rows is not None:
            diagonal = diagonal * _diagonal(rows).unsqueeze(2)

        def product(values: Tensor) -> Tensor:
            inner: Tensor = (outer * values.view_as(outer)) @ columns
            return (outer * (inner if rows is None else rows @ inner)).flatten()

        quadratic = Quadratic(product, anchor, torch.zeros_like(anchor), diagonal.flatten())
        start = Candidate.at(quadratic, kept.flatten(), present)
        found = least_on_support(quadratic, start, max_iterations, tolerance)
        weights[self._place[kept]] = found.weights.view_as(kept)[kept]

    def _hessian(self) -> tuple[Tensor | None, Tensor]:
        """Inverses of the factors for rows, where there is one, and for columns."""
        if self._hessians is None:
            rows = self._part.row_gram
            columns = inverses(self._part.column_gram).to(self._root)
            self._hessians = None if rows is None else inverses(rows).to(self._root), columns
        return self._hessians


def _diagonal(grams: Tensor) -> Tensor:
    return grams.diagonal(dim1=1, dim2=2)
