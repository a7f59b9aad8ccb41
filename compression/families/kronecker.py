"""Kronecker products inside diagonals, for layers whose weight is a matrix."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from compression.factored import Factored
from compression.operators import (
    InverseOperator,
    as_grid,
    damped_inverse_factors,
    gram_product,
    grid_losses,
)


class Kronecker(InverseOperator):
    """`Q = scale D (R'R x LL') D` for a layer with weight `W` and perhaps a bias.

    Weight and bias form a matrix `U` `(outputs, inputs + 1)`; then, elementwise products written
    `o`, `Q U = scale A o [R'R (A o U) LL']`. Stacked maps (grouped convolutions, the three
    projections of attention) have factors of their own each. The vector holds the weight, row by
    row, then the bias.

    Args:
        outputs: Rows of one map.
        inputs: Columns of one map: of a convolution, its channels times the size of its kernel.
        groups: Number of stacked maps.
        has_bias: Whether there is a bias.
        has_row_factor: Whether rows have a factor; False leaves `R` out, for tables with a row a
            symbol.
        scale: What the entries are measured in, so that the factors are near 1.
        dtype: Of the factors.
        device: Of the factors.
    """

    num_moments = 2

    def __init__(
        self,
        outputs: int,
        inputs: int,
        groups: int,
        has_bias: bool,
        has_row_factor: bool,
        scale: float,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        self.outputs, self.inputs, self.groups = outputs, inputs, groups
        self.width = inputs + has_bias
        self.size = groups * outputs * self.width
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor(scale, dtype=dtype, device=device))
        self.outer = nn.Parameter(
            torch.ones(groups, outputs, self.width, dtype=dtype, device=device)
        )
        self.column_factor = nn.Parameter(
            torch.eye(self.width, dtype=dtype, device=device).repeat(groups, 1, 1)
        )
        self.row_factor = (
            nn.Parameter(torch.eye(outputs, dtype=dtype, device=device).repeat(groups, 1, 1))
            if has_row_factor
            else None
        )

    @torch.no_grad()
    def initialise(self, diagonal: Tensor) -> None:
        """Become the diagonal matrix with this diagonal `(size,)`."""
        self.outer.copy_((self._matrix(diagonal) / self.scale).sqrt())
        for factor in (self.column_factor, self.row_factor):
            if factor is not None:
                factor.copy_(torch.eye(factor.shape[-1], dtype=factor.dtype).to(factor.device))

    def second_moments(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """`U U'` and `U'U` of a gradient `U`; of the former the diagonal if rows have no factor."""
        matrix = self._matrix(gradient)
        rows = matrix.square().sum(dim=-1) if self.row_factor is None else matrix @ matrix.mT
        return rows, matrix.mT @ matrix

    @torch.no_grad()
    def begin_at(self, moments: Sequence[Tensor], damping: float) -> None:
        """Become the inverse of the Kronecker product of both damped second moments."""
        (rows, columns), level = damped_inverse_factors(moments, damping)
        self.scale.copy_(level.mean())
        self.outer.copy_((level / level.mean()).sqrt()[:, None, None].expand_as(self.outer))
        self.column_factor.copy_(columns.mT)
        if self.row_factor is None:
            self.outer.mul_(rows.unsqueeze(-1).to(self.outer))
        else:
            self.row_factor.copy_(rows)

    def product(self, vectors: Tensor) -> Tensor:
        """The matrix times each vector, `(..., size)` in and out."""
        inner = self.outer * self._matrix(vectors)
        if self.row_factor is not None:
            inner = gram_product(self.row_factor, inner)
        # Rows of U times LL' are columns of U' behind LL'.
        inner = gram_product(self.column_factor, inner.mT, is_outer=True).mT
        return self.scale * self._flat(self.outer * inner)

    def diagonal(self) -> Tensor:
        """The matrix' diagonal, `(size,)`."""
        entries = self.outer.square() * self.column_factor.square().sum(dim=-1).unsqueeze(-2)
        if self.row_factor is not None:
            entries = entries * self.row_factor.square().sum(dim=-2).unsqueeze(-1)
        return self.scale * self._flat(entries)

    def entries(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Single entries; all between stacked maps are 0."""
        first, second = self._coordinates(rows), self._coordinates(columns)
        group, row, column = first
        other_group, other_row, other_column = second
        right = self.column_factor @ self.column_factor.transpose(-1, -2)
        found = self.outer[first] * self.outer[second] * right[group, column, other_column]
        if self.row_factor is None:
            found = torch.where(row == other_row, found, 0)
        else:
            left = self.row_factor.transpose(-1, -2) @ self.row_factor
            found = found * left[group, row, other_row]
        return torch.where(group == other_group, self.scale * found, 0)

    def group_losses(self, weights: Tensor, indices: Tensor) -> Tensor:
        """What removing groups costs; columns share the factorisation of their rows."""
        _, row, column = self._coordinates(indices)
        grid = as_grid(row, column) if self.groups == 1 else None
        if grid is None or self.row_factor is None:
            return super().group_losses(weights, indices)
        left = (self.row_factor.mT @ self.row_factor)[0]
        right = (self.column_factor @ self.column_factor.mT)[0]
        values = weights[indices] / self.outer[0, row, column]
        losses = grid_losses(
            values.view(len(indices), len(grid.rows), -1),
            left[grid.rows][:, grid.rows],
            right[grid.columns.unsqueeze(2), grid.columns.unsqueeze(1)],
        )
        return losses / self.scale

    def factored(self) -> Iterator[Factored]:
        """Weight and bias as one grid a map."""
        positions = torch.arange(self.size, device=self.outer.device)
        rows = None if self.row_factor is None else self.row_factor.mT @ self.row_factor
        columns = self.column_factor @ self.column_factor.mT
        yield Factored(self._matrix(positions), self.scale.sqrt() * self.outer, rows, columns)

    def _matrix(self, vectors: Tensor) -> Tensor:
        """`(..., size)` as `(..., groups, outputs, width)`."""
        num_weights = self.groups * self.outputs * self.inputs
        weight = torch.unflatten(
            vectors[..., :num_weights], -1, (self.groups, self.outputs, self.inputs)
        )
        if self.width == self.inputs:
            return weight
        bias = torch.unflatten(vectors[..., num_weights:], -1, (self.groups, self.outputs, 1))
        return torch.cat([weight, bias], dim=-1)

    def _flat(self, matrices: Tensor) -> Tensor:
        """Back from `_matrix`."""
        weight = matrices[..., : self.inputs].flatten(start_dim=-3)
        if self.width == self.inputs:
            return weight
        return torch.cat([weight, matrices[..., self.inputs :].flatten(start_dim=-3)], dim=-1)

    def _coordinates(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Group, row and column of each position."""
        num_weights = self.groups * self.outputs * self.inputs
        is_weight = positions < num_weights
        line = torch.where(is_weight, positions // self.inputs, positions - num_weights)
        column = torch.where(is_weight, positions % self.inputs, self.inputs)
        return line // self.outputs, line % self.outputs, column
