"""Removal in sweeps over the columns of a layer, for layers of thousands of inputs.

Greedy removal (`compression.greedy`) downdates an inverse for each row, about `rows inputs^3`
operations a layer. Where all rows visit the columns in one order instead, and what was visited
stands still, they share one triangle (SparseGPT; Frantar and Alistarh, 2023), and a layer takes
`rows inputs^2`. Three things bring it near to greedy removal here: a bound on the cost in place of
so many of each column, the cheapest columns first, and several passes with least squares between.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from compression.conjugate_gradients import conjugate_gradients
from compression.errors import DivergedError, StructureError
from compression.factored import Factored, restricted
from compression.selection import PruningStep

BLOCK = 128
"""Columns whose effect on the columns behind them is applied at once."""

MAX_SWEEPS = 16
"""In which the bound on costs is looked for."""

COUNT_TOLERANCE = 1e-2
"""Share by which the number of removed weights may differ from the goal in the search; the
selection itself is exact."""


def swept(weights: Tensor, triangle: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
    """Cost of each weight's removal when its column's turn comes, all before it standing still.

    A weight that costs no more than its bound goes, and the weights of its row behind it make up
    for it. The costs of what went add up to what all of it costs.

    Args:
        weights: `(groups, columns, rows)`, in units in which all rows have one inverse.
        triangle: Upper triangle `U` with `U'U` the inverse, `(groups, columns, columns)`.
        bound: As `weights`; infinite for what goes in any case, below 0 for what stays.

    Returns:
        Costs and weights after the sweep, 0 for what went; both as `weights`.
    """
    weights = weights.clone()
    pivots = triangle.diagonal(dim1=1, dim2=2).unsqueeze(2)
    shares, squares = 1 / pivots, 2 * bound
    errors = torch.empty_like(weights)
    num_columns = weights.shape[1]
    for first in range(0, num_columns, BLOCK):
        last = min(first + BLOCK, num_columns)
        for column in range(first, last):
            error = errors[:, column]
            torch.mul(weights[:, column], shares[:, column], out=error)
            error.mul_(error.square() <= squares[:, column])
            behind = triangle[:, column, column + 1 : last].unsqueeze(2)
            weights[:, column + 1 : last].baddbmm_(behind, error.unsqueeze(1), alpha=-1)
        block = triangle[:, first:last, last:].mT
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
    def needs_gradient(self) -> bool:
        """No."""
        return False

    @torch.no_grad()
    def __call__(self, step: PruningStep) -> tuple[Tensor, Tensor]:
        """Mask and weights after a step of pruning.

        Raises:
            StructureError: The curvature or the structure is another.
            DivergedError: The inverse is not positive definite.
        """
        factored = step.curvature.factored()
        if factored is None or step.structure != "unstructured":
            raise StructureError(
                "removal by sweeps needs unstructured sparsity and an inverse that is known part "
                "by part: a learned one, or LayerwiseHessian"
            )
        layers = [_Layer(part, step.mask) for part in factored]
        dense = step.weights
        sparsities = _sparsities(step, self.passes)
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


def _sparsities(step: PruningStep, passes: int) -> Iterator[float]:
    """After each pass: each keeps the same share of what is left."""
    reachable = step.candidates.reachable
    before = int((step.mask & reachable).sum()) / int(reachable.sum())
    for done in range(1, passes):
        yield 1 - before * ((1 - step.sparsity) / before) ** (done / passes)
    yield step.sparsity


def _costs(sweeps: Sequence["_Sweep"], step: PruningStep) -> Tensor:
    """Costs `(size,)` in sweeps that remove about enough."""
    costs = torch.zeros_like(step.weights)
    for together in [sweeps] if step.scope == "global" else [[sweep] for sweep in sweeps]:
        considered = torch.zeros_like(step.mask)
        for sweep in together:
            considered[sweep.positions[sweep.is_there]] = True
        considered &= step.candidates.reachable
        gone = int((considered & ~step.mask).sum())
        goal = round(step.sparsity * int(considered.sum())) - gone
        for sweep, found in zip(together, _about_enough(together, goal), strict=True):
            costs[sweep.positions[sweep.is_removable]] = found[sweep.is_removable]
    return costs


def _about_enough(sweeps: Sequence["_Sweep"], goal: int) -> Sequence[Tensor]:
    """Costs of sweeps with the bound below which about so many weights lie."""
    found = [sweep.costs_alone() for sweep in sweeps]
    low, high = 0.0, math.inf
    for _ in range(MAX_SWEEPS):
        values = torch.cat(
            [costs[sweep.is_removable] for sweep, costs in zip(sweeps, found, strict=True)]
        )
        # What would be enough if costs stayed as they are, which they nearly do.
        bound = float(values.kthvalue(max(1, min(goal, len(values)))).values)
        if not low < bound < high:
            bound = math.sqrt(max(low, high / 1e4) * high) if high < math.inf else 2 * low
        found = [sweep.costs(bound) for sweep in sweeps]
        count = sum(
            int((costs[sweep.is_removable] <= bound).sum())
            for sweep, costs in zip(sweeps, found, strict=True)
        )
        if abs(count - goal) <= COUNT_TOLERANCE * goal or bound == 0:
            break
        low, high = (bound, high) if count < goal else (low, bound)
    return found


@dataclass(frozen=True)
class _Sweep:
    """A layer with its columns in the order of a pass.

    Attributes:
        positions: `(groups, columns, rows)`; 0 where the grid has nothing.
        is_there: Where the grid has a weight, as `positions`.
        is_kept: Which weights are kept before, as `positions`.
        is_removable: Which of them may go, as `positions`.
        root: Units of the weights, in which all rows have one inverse, as `positions`.
        weights: In those units, as `positions`.
        triangle: Upper Cholesky factor of that inverse, `(groups, columns, columns)`.
    """

    positions: Tensor
    is_there: Tensor
    is_kept: Tensor
    is_removable: Tensor
    root: Tensor
    weights: Tensor
    triangle: Tensor

    def costs_alone(self) -> Tensor:
        """Costs if nothing went before, as `positions`."""
        return (self.weights / _diagonal(self.triangle).unsqueeze(2)).square() / 2

    def costs(self, bound: float) -> Tensor:
        """Costs of one sweep, as `positions`."""
        return swept(self.weights, self.triangle, self._bounds(self.is_removable, bound))[0]

    def compensate(self, weights: Tensor, mask: Tensor) -> None:
        """Near the least weights under a smaller mask, written over those of `(size,)`."""
        kept = self.is_kept & mask[self.positions]
        bounds = self._bounds(self.is_kept & ~kept, math.inf)
        found = swept(self.weights, self.triangle, bounds)[1] * self.root
        weights[self.positions[kept]] = found[kept]

    def _bounds(self, is_free: Tensor, bound: float) -> Tensor:
        """For a sweep in which some weights may go, and what is removed before goes again."""
        bounds = torch.full_like(self.weights, -1.0).masked_fill_(is_free, bound)
        return bounds.masked_fill_(~self.is_kept, math.inf)


class _Layer:
    """A part of the inverse: all that does not change from pass to pass."""

    def __init__(self, part: Factored, mask: Tensor) -> None:
        self._part = part
        self._is_there = part.positions >= 0
        self._place = part.positions.clamp(min=0)
        share = 1.0 if part.row_gram is None else _diagonal(part.row_gram).sqrt().unsqueeze(2)
        self._root = part.outer * share
        self._columns = part.column_gram
        if part.positions.shape[1] == 1:
            # With a matrix of its own, a row leaves out of it what is gone.
            there = self._is_there & mask[self._place]
            self._columns = restricted(self._columns, there[:, 0])
        self._hessians: tuple[Tensor | None, Tensor] | None = None

    def sweep(self, step: PruningStep) -> _Sweep:
        """Ready for the sweeps of a pass: columns whose weights cost little come first."""
        kept = self._is_there & step.mask[self._place]
        removable = kept & step.candidates.reachable[self._place]
        weights = torch.where(kept, step.weights[self._place] / self._root, 0)
        cost = weights.square().sum(dim=1) / _diagonal(self._columns)
        order = cost.argsort(dim=1, stable=True)
        ordered = self._columns.take_along_dim(order.unsqueeze(2), dim=1)
        ordered = ordered.take_along_dim(order.unsqueeze(1), dim=2)

        def turned(grid: Tensor) -> Tensor:
            return grid.mT.take_along_dim(order.unsqueeze(2), dim=1)

        return _Sweep(
            positions=turned(self._place),
            is_there=turned(self._is_there),
            is_kept=turned(kept),
            is_removable=turned(removable),
            root=turned(self._root),
            weights=turned(weights),
            triangle=_triangle(ordered).to(weights),
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
        missing = torch.where(self._is_there, (dense - weights)[self._place], 0)
        if not bool(missing.any()):
            return
        rows, columns = self._hessian()
        outer = 1 / self._part.outer
        diagonal = outer.square() * _diagonal(columns).unsqueeze(1)
        if rows is not None:
            diagonal = diagonal * _diagonal(rows).unsqueeze(2)

        def product(values: Tensor) -> Tensor:
            inner: Tensor = (outer * values) @ columns
            return torch.where(kept, outer * (inner if rows is None else rows @ inner), 0)

        change = conjugate_gradients(
            lambda values: product(values.view_as(kept)).flatten(),
            product(missing).flatten(),
            lambda values: values / diagonal.flatten(),
            None,
            tolerance,
            max_iterations,
        ).values.view_as(kept)
        weights[self._place[kept]] += change[kept]

    def _hessian(self) -> tuple[Tensor | None, Tensor]:
        """Inverses of the factors for rows, where there is one, and for columns."""
        if self._hessians is None:
            rows = self._part.row_gram
            self._hessians = None if rows is None else _inverse(rows), _inverse(self._columns)
        return self._hessians


def _diagonal(grams: Tensor) -> Tensor:
    return grams.diagonal(dim1=1, dim2=2)


def _triangle(grams: Tensor) -> Tensor:
    """Upper Cholesky factors of a stack of matrices, in double precision."""
    triangle, failures = torch.linalg.cholesky_ex(grams.double(), upper=True)
    if bool(failures.any()):
        raise DivergedError(
            "the inverse Fisher matrix is not positive definite: raise the damping or fit longer"
        )
    found: Tensor = triangle
    return found


def _inverse(grams: Tensor) -> Tensor:
    """Inverses of a stack of matrices, computed in double precision."""
    inverse: Tensor = torch.cholesky_inverse(_triangle(grams), upper=True).to(grams.dtype)
    return inverse
