"""Mean over neighbours as a sparse-dense product, with both directions stored as CSR.

Stock message passing gathers one row per edge and scatters it again. The product with a
row-normalised CSR adjacency touches each edge once and writes no per-edge tensor; its backward is
the product with the transposed matrix, which is sorted once here and not in every step.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


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
        self._matrix = _csr(destination, source, weight, num_destinations, num_sources)
        self._transposed = _csr(source, destination, weight, num_sources, num_destinations)

    def __call__(self, states: Tensor) -> Tensor:
        """Average the states.

        Args:
            states: Source states, float32 `(num_sources, width)`.

        Returns:
            Mean over each destination's sources, 0 where it has none;
            `(num_destinations, width)`.
        """
        product: Callable[..., Tensor] = _SparseProduct.apply
        return product(states, self._matrix, self._transposed)


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transposed @ gradients[0], None, None


def _csr(row: Tensor, column: Tensor, value: Tensor, num_rows: int, num_columns: int) -> Tensor:
    order = torch.argsort(row * num_columns + column, stable=True)
    start = torch.zeros(num_rows + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(row, minlength=num_rows), dim=0, out=start[1:])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        # MKL takes 32-bit indices, which halve the memory traffic of the product.
        return torch.sparse_csr_tensor(
            start.to(torch.int32),
            column[order].to(torch.int32),
            value[order],
            size=(num_rows, num_columns),
            check_invariants=False,
        )
