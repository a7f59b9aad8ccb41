"""Sums over neighbours, with both directions of the edges sorted once.

Stock message passing gathers one row per edge and scatters it again. Here each node adds up the
rows of its own neighbours: no per-edge tensor is written, no two threads write the same row, and
the gradient is the same kind of sum over the edges' other direction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class RowSums:
    """Adds up rows of a matrix for each of many sums: the product with a sparse matrix in CSR.

    Attributes:
        start: Place of each sum's first term, and at the end the number of terms; int32 where that
            suffices, else int64, `(num_sums + 1,)`.
        row: Row that each term is, in the same type, `(num_terms,)`.
        weight: Factor of each term, float32 `(num_terms,)`; None: 1.
    """

    start: Tensor
    row: Tensor
    weight: Tensor | None

    @classmethod
    def of(cls, number: Tensor, row: Tensor, num_sums: int, weight: Tensor | None = None) -> Self:
        """Sort terms by sum, then row: the order they are given in changes no bit of a sum.

        Args:
            number: Which sum each term belongs to, int64 `(num_terms,)`.
            row: Row that each term is, int64 `(num_terms,)`.
            num_sums: Number of sums.
            weight: Factor of each term, float32 `(num_terms,)`; None: 1.
        """
        num_rows = int(row.max()) + 1 if len(row) else 1
        order = torch.argsort(number * num_rows + row, stable=True)
        start = torch.zeros(num_sums + 1, dtype=torch.int64)
        torch.cumsum(torch.bincount(number, minlength=num_sums), dim=0, out=start[1:])
        # Half the memory traffic where 32 bits suffice.
        fits = max(len(row), num_rows) <= torch.iinfo(torch.int32).max
        integer = torch.int32 if fits else torch.int64
        sorted_weight = None if weight is None else weight[order]
        return cls(start.to(integer), row[order].to(integer), sorted_weight)

    def __call__(self, matrix: Tensor) -> Tensor:
        """Add up, without gradient.

        Args:
            matrix: float32 `(num_rows, width)`.

        Returns:
            `(num_sums, width)`, 0 where there is no term.
        """
        # The kernel of embedding tables takes a third of the time of torch's sparse product.
        return F.embedding_bag(
            self.row,
            matrix,
            self.start,
            mode="sum",
            per_sample_weights=self.weight,
            include_last_offset=True,
        )


class Runs:
    """Rows that lie in runs, one run after the other: adds each run up, repeats a row over it.

    Each is the other's gradient. A row costs a sixth of what `segment_reduce` and indexing take,
    forward and backward, and every sum runs in the order of the rows, as theirs does.
    """

    def __init__(self, run: Tensor, lengths: Tensor) -> None:
        """Find where the runs begin.

        Args:
            run: Run of each row, int64 `(num_rows,)`, ascending.
            lengths: Number of rows of each run, int64 `(num_runs,)`.
        """
        start = F.pad(lengths.cumsum(0), (1, 0))
        self._run = run
        self._rows = RowSums(start, torch.arange(len(run), device=run.device), None)

    def total(self, matrix: Tensor) -> Tensor:
        """Add up the rows of each run.

        Args:
            matrix: `(num_rows, width)`.

        Returns:
            `(num_runs, width)`, 0 where a run is empty.
        """
        if torch.is_inference_mode_enabled():
            return self._total(matrix)
        total: Callable[..., Tensor] = _Total.apply
        return total(matrix, self)

    def repeat(self, matrix: Tensor) -> Tensor:
        """Repeat the row of each run over its length.

        Args:
            matrix: `(num_runs, width)`.

        Returns:
            `(num_rows, width)`.
        """
        if torch.is_inference_mode_enabled():
            return self._repeated(matrix)
        repeat: Callable[..., Tensor] = _Repeated.apply
        return repeat(matrix, self)

    def _total(self, matrix: Tensor) -> Tensor:
        return self._rows(matrix)

    def _repeated(self, matrix: Tensor) -> Tensor:
        return matrix.index_select(0, self._run)


class _OfRuns(torch.autograd.Function):
    """A linear map over runs, which `torch.func` can differentiate forward and backward."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Runs], output: Tensor) -> None:
        _, ctx.runs = inputs


class _Total(_OfRuns):
    @staticmethod
    def forward(matrix: Tensor, runs: Runs) -> Tensor:
        return runs._total(matrix)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.runs._repeated(gradients[0]), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return ctx.runs.total(tangents[0])


class _Repeated(_OfRuns):
    @staticmethod
    def forward(matrix: Tensor, runs: Runs) -> Tensor:
        return runs._repeated(matrix)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.runs._total(gradients[0]), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return ctx.runs.repeat(tangents[0])


class MeanAggregation:
    """Averages source states over the incoming edges of each destination.

    Attributes:
        degree: Number of incoming edges of each destination, float32 `(num_destinations,)`.
    """

    def __init__(self, edge_index: Tensor, num_sources: int, num_destinations: int) -> None:
        """Sort the edges both ways.

        Args:
            edge_index: Source and destination of each edge, int64 `(2, num_edges)`.
            num_sources: Number of source nodes.
            num_destinations: Number of destination nodes.
        """
        source, destination = edge_index
        self.degree = torch.bincount(destination, minlength=num_destinations).float()
        weight = self.degree.clamp(min=1).reciprocal()[destination]
        self._incoming = RowSums.of(destination, source, num_destinations, weight)
        self._outgoing = RowSums.of(source, destination, num_sources, weight)

    def __call__(self, states: Tensor) -> Tensor:
        """Average the states.

        Args:
            states: Source states, float32 `(num_sources, width)`.

        Returns:
            Mean over each destination's sources, 0 where it has none;
            `(num_destinations, width)`.
        """
        mean: Callable[..., Tensor] = _Mean.apply
        return mean(states, self._incoming, self._outgoing)


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, incoming: RowSums, outgoing: RowSums) -> Tensor:
        ctx.outgoing = outgoing
        return incoming(states)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.outgoing(gradients[0]), None, None


@dataclass(frozen=True)
class RowGather:
    """Picks one row of a matrix for each of many targets.

    Attributes:
        row: Row that each target picks, int64 `(num_targets,)`.
        gradient: Adds up, for each row, the gradients of the targets that pick it.
    """

    row: Tensor
    gradient: RowSums

    @classmethod
    def of(cls, row: Tensor, num_rows: int) -> Self:
        """Sort the targets by row.

        Args:
            row: Row that each target picks, int64 `(num_targets,)`.
            num_rows: Number of rows.
        """
        return cls(row, RowSums.of(row, torch.arange(len(row)), num_rows))
