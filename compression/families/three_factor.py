"""Three Kronecker factors inside diagonals, for convolutions: outputs, inputs and kernel."""

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


class ThreeFactor(InverseOperator):
    """`Q = scale D (R'R x LL' x KK') D` for a convolution with weight `(outputs, inputs, kernel)`.

    The factor of the inputs of a 3 x 3 convolution is 81 times smaller than one of inputs and
    kernel together. A bias has a diagonal of its own. Grouped convolutions have factors of their
    own for each group. The vector holds the weight, row by row, then the bias.

    Args:
        outputs: Output channels of a group.
        inputs: Input channels of a group.
        kernel: Positions of the kernel.
        groups: Number of groups.
        has_bias: Whether there is a bias.
        scale: What the entries are measured in, so that the factors are near 1.
        dtype: Of the factors.
        device: Of the factors.
    """

    num_moments = 4

    def __init__(
        self,
        outputs: int,
        inputs: int,
        kernel: int,
        groups: int,
        has_bias: bool,
        scale: float,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        self.shape = (groups, outputs, inputs, kernel)
        self.num_weights = groups * outputs * inputs * kernel
        self.size = self.num_weights + has_bias * groups * outputs
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor(scale, dtype=dtype, device=device))
        self.outer = nn.Parameter(torch.ones(self.size, dtype=dtype, device=device))
        self.row_factor, self.column_factor, self.kernel_factor = (
            nn.Parameter(torch.eye(rows, dtype=dtype, device=device).repeat(groups, 1, 1))
            for rows in (outputs, inputs, kernel)
        )

    @torch.no_grad()
    def initialise(self, diagonal: Tensor) -> None:
        """Become the diagonal matrix with this diagonal `(size,)`."""
        self.outer.copy_((diagonal / self.scale).sqrt())
        for factor in (self.row_factor, self.column_factor, self.kernel_factor):
            factor.copy_(torch.eye(factor.shape[-1], dtype=factor.dtype).to(factor.device))

    def second_moments(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """Of the outputs, the inputs and the kernel of a gradient `(size,)`; squares of a bias."""
        weight = torch.unflatten(gradient[: self.num_weights], -1, self.shape)
        unfolded = [weight.movedim(axis, 1).flatten(start_dim=2) for axis in (1, 2, 3)]
        return *(one @ one.mT for one in unfolded), gradient[self.num_weights :].square()

    @torch.no_grad()
    def begin_at(self, moments: Sequence[Tensor], damping: float) -> None:
        """Become the inverse of the Kronecker product of all damped second moments."""
        *of_weight, of_bias = moments
        (rows, columns, kernel), level = damped_inverse_factors(of_weight, damping)
        self.scale.copy_(level.mean())
        relative = (level / level.mean()).sqrt().repeat_interleave(self.num_weights // len(level))
        self.outer[: self.num_weights] = relative.to(self.outer)
        self.outer[self.num_weights :] = (1 / (of_bias + damping) / self.scale).sqrt()
        self.row_factor.copy_(rows)
        self.column_factor.copy_(columns.mT)
        self.kernel_factor.copy_(kernel.mT)

    def product(self, vectors: Tensor) -> Tensor:
        """The matrix times each vector, `(..., size)` in and out."""
        inner = self.outer * vectors
        weight = torch.unflatten(inner[..., : self.num_weights], -1, self.shape)
        weight = gram_product(self.row_factor, weight.flatten(start_dim=-2))
        # Kernel positions first, so that each remaining factor is one large multiplication.
        weight = torch.unflatten(weight, -1, self.shape[2:]).movedim(-1, -3)
        weight = gram_product(self.kernel_factor, weight.flatten(start_dim=-2), is_outer=True)
        weight = torch.unflatten(weight, -1, self.shape[1:3]).movedim(-1, -3)
        weight = gram_product(self.column_factor, weight.flatten(start_dim=-2), is_outer=True)
        weight = torch.unflatten(weight, -1, (self.shape[3], self.shape[1])).movedim(-1, -3)
        flat = torch.cat([weight.flatten(start_dim=-4), inner[..., self.num_weights :]], dim=-1)
        return self.scale * self.outer * flat

    def diagonal(self) -> Tensor:
        """The matrix' diagonal, `(size,)`."""
        rows = self.row_factor.square().sum(dim=-2)[:, :, None, None]
        columns = self.column_factor.square().sum(dim=-1)[:, None, :, None]
        kernel = self.kernel_factor.square().sum(dim=-1)[:, None, None, :]
        inner = (rows * columns * kernel).flatten()
        missing = self.size - self.num_weights
        return self.scale * self.outer.square() * nn.functional.pad(inner, (0, missing), value=1)

    def entries(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Single entries; all between groups, and of a bias off the diagonal, are 0."""
        is_weight = (rows < self.num_weights) & (columns < self.num_weights)
        first, second = (
            torch.unravel_index(index.clamp(max=self.num_weights - 1), self.shape)
            for index in (rows, columns)
        )
        grams = (
            self.row_factor.mT @ self.row_factor,
            self.column_factor @ self.column_factor.mT,
            self.kernel_factor @ self.kernel_factor.mT,
        )
        inner = torch.where(first[0] == second[0], self.scale, 0)
        for axis, gram in enumerate(grams, start=1):
            inner = inner * gram[first[0], first[axis], second[axis]]
        of_bias = torch.where(rows == columns, self.scale, 0)
        return self.outer[rows] * self.outer[columns] * torch.where(is_weight, inner, of_bias)

    def group_losses(self, weights: Tensor, indices: Tensor) -> Tensor:
        """What removing groups costs; columns share the factorisation of their rows."""
        groups, _, num_inputs, kernel = self.shape
        row, column = indices // (num_inputs * kernel), indices % (num_inputs * kernel)
        is_weight = int(indices.max()) < self.num_weights
        grid = as_grid(row, column) if groups == 1 and is_weight else None
        if grid is None:
            return super().group_losses(weights, indices)
        left = (self.row_factor.mT @ self.row_factor)[0]
        of_input = (self.column_factor @ self.column_factor.mT)[0]
        of_kernel = (self.kernel_factor @ self.kernel_factor.mT)[0]
        first, second = grid.columns.unsqueeze(2), grid.columns.unsqueeze(1)
        right = (
            of_input[first // kernel, second // kernel] * of_kernel[first % kernel, second % kernel]
        )
        values = (weights[indices] / self.outer[indices]).view(len(indices), len(grid.rows), -1)
        return grid_losses(values, left[grid.rows][:, grid.rows], right) / self.scale

    def factored(self) -> Iterator[Factored]:
        """The weight as one grid a group, of outputs by inputs and kernel; the bias by itself."""
        root = self.scale.sqrt() * self.outer
        shape = (*self.shape[:2], -1)
        positions = torch.arange(self.num_weights, device=root.device).view(shape)
        of_inputs = self.column_factor @ self.column_factor.mT
        of_kernel = self.kernel_factor @ self.kernel_factor.mT
        columns = torch.einsum("gij,gkl->gikjl", of_inputs, of_kernel).flatten(1, 2).flatten(2)
        rows = self.row_factor.mT @ self.row_factor
        yield Factored(positions, root[: self.num_weights].view(shape), rows, columns)
        if self.size > self.num_weights:
            yield Factored.of_diagonal(root[self.num_weights :]).behind(self.num_weights)
