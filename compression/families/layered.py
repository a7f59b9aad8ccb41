"""Block-diagonal matrices with one operator a layer, chosen by the name of a family."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from compression.factored import Factored
from compression.families.block import DenseBlocks
from compression.families.diagonal import Diagonal
from compression.families.kronecker import Kronecker
from compression.families.three_factor import ThreeFactor
from compression.operators import InverseOperator
from compression.parameters import Kind, ParameterSpace, Slot

LARGEST_FULL = 20_000
"""Rows of the largest full matrix that is made: 1.6 GB in float32."""

BLOCK_SIZE = 50
"""Rows of a dense block, unless said otherwise."""


class LayeredInverse(InverseOperator):
    """Operators end to end along the diagonal.

    Args:
        parts: Of the whole vector, in order.
    """

    def __init__(self, parts: Sequence[InverseOperator]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.sizes = [part.size for part in parts]
        self.size = sum(self.sizes)
        self.num_moments = sum(part.num_moments for part in parts)

    def initialise(self, diagonal: Tensor) -> None:
        """Become the diagonal matrix with this diagonal `(size,)`."""
        for part, values in zip(self.operators(), torch.split(diagonal, self.sizes), strict=True):
            part.initialise(values)

    def second_moments(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """Those of all parts, one after the other."""
        pieces = zip(self.operators(), torch.split(gradient, self.sizes), strict=True)
        return tuple(moment for part, piece in pieces for moment in part.second_moments(piece))

    def begin_at(self, moments: Sequence[Tensor], damping: float) -> None:
        """Become near the inverse of a damped Fisher matrix, part by part."""
        remaining = list(moments)
        for part in self.operators():
            number = part.num_moments
            part.begin_at(remaining[:number], damping)
            remaining = remaining[number:]

    def product(self, vectors: Tensor) -> Tensor:
        """The matrix times each vector, `(..., size)` in and out."""
        pieces = zip(self.operators(), torch.split(vectors, self.sizes, dim=-1), strict=True)
        return torch.cat([part.product(piece) for part, piece in pieces], dim=-1)

    def diagonal(self) -> Tensor:
        """The matrix' diagonal, `(size,)`."""
        return torch.cat([part.diagonal() for part in self.operators()])

    def entries(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Single entries; all between parts are 0."""
        rows = rows + torch.zeros_like(columns)
        columns = columns + torch.zeros_like(rows)
        weight = next(self.parameters())
        found = torch.zeros(rows.shape, dtype=weight.dtype, device=weight.device)
        start = 0
        for part in self.operators():
            stop = start + part.size
            inside = (rows >= start) & (rows < stop) & (columns >= start) & (columns < stop)
            if bool(inside.any()):
                found[inside] = part.entries(rows[inside] - start, columns[inside] - start)
            start = stop
        return found

    def factored(self) -> Iterator[Factored]:
        """Those of all parts, one after the other."""
        start = 0
        for part in self.operators():
            for factored in part.factored():
                yield factored.behind(start)
            start += part.size

    def group_losses(self, weights: Tensor, indices: Tensor) -> Tensor:
        """What removing groups costs; by the part's own short cut if all lie within one."""
        least, most, start = int(indices.min()), int(indices.max()), 0
        for part in self.operators():
            stop = start + part.size
            if start <= least and most < stop:
                return part.group_losses(weights[start:stop], indices - start)
            start = stop
        return super().group_losses(weights, indices)

    def operators(self) -> list[InverseOperator]:
        """The parts, in order."""
        return [part for part in self.parts if isinstance(part, InverseOperator)]


def make_diagonal(space: ParameterSpace, scale: float) -> InverseOperator:
    """A diagonal matrix over a whole space."""
    return Diagonal(space.size, scale, space.dtype, space.device)


def make_full(space: ParameterSpace, scale: float) -> InverseOperator:
    """A full matrix over a whole space.

    Raises:
        ValueError: The space has too many weights for it.
    """
    if space.size > LARGEST_FULL:
        raise ValueError(
            f"a full matrix over {space.size:,} weights is too large (at most {LARGEST_FULL:,}); "
            "choose kronecker or three_factor"
        )
    return DenseBlocks(space.size, space.size, scale, space.dtype, space.device)


def make_block(
    space: ParameterSpace, scale: float, block_size: int = BLOCK_SIZE
) -> InverseOperator:
    """Dense blocks that end with each layer."""
    return LayeredInverse(
        [
            DenseBlocks(_size(slots), block_size, scale, space.dtype, space.device)
            for slots in space.layers.values()
        ]
    )


def make_kronecker(space: ParameterSpace, scale: float) -> InverseOperator:
    """Kronecker products for weights with their biases, a diagonal for the rest."""
    return _per_layer(space, scale, has_three_factors=False)


def make_three_factor(space: ParameterSpace, scale: float) -> InverseOperator:
    """As `make_kronecker`, but convolutions have one factor each for outputs, inputs and kernel.

    Convolutions whose inputs and kernel together are no more than their outputs keep one factor
    for both: it is no larger than their weight.
    """
    return _per_layer(space, scale, has_three_factors=True)


FAMILIES: dict[str, Callable[[ParameterSpace, float], InverseOperator]] = {
    "diagonal": make_diagonal,
    "block": make_block,
    "kronecker": make_kronecker,
    "three_factor": make_three_factor,
    "full": make_full,
}
"""Maker of each family's matrix for a space, from the scale of its entries."""


def make_family(name: str, space: ParameterSpace, scale: float) -> InverseOperator:
    """The matrix of a named family.

    Args:
        name: A key of `FAMILIES`.
        space: Whose weights the rows are.
        scale: What the entries are measured in.

    Raises:
        ValueError: There is no such family; names those there are.
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; there are: {', '.join(FAMILIES)}")
    return FAMILIES[name](space, scale)


def _size(slots: Sequence[Slot]) -> int:
    return slots[-1].stop - slots[0].start


def _per_layer(space: ParameterSpace, scale: float, has_three_factors: bool) -> InverseOperator:
    parts: list[InverseOperator] = []
    remaining = list(space.slots)
    while remaining:
        slot = remaining.pop(0)
        if not slot.is_prunable:
            parts.append(Diagonal(_size([slot]), scale, space.dtype, space.device))
            continue
        has_bias = _is_own_bias(slot, remaining)
        if has_bias:
            remaining.pop(0)
        parts.append(_of_weight(slot, has_bias, space, scale, has_three_factors))
    return LayeredInverse(parts)


def _is_own_bias(slot: Slot, following: Sequence[Slot]) -> bool:
    """Whether the slot behind a weight is the bias of the same outputs."""
    if not following:
        return False
    bias = following[0]
    return bias.layer == slot.layer and bias.kind is Kind.BIAS and bias.shape[0] == slot.shape[0]


def _of_weight(
    slot: Slot, has_bias: bool, space: ParameterSpace, scale: float, has_three_factors: bool
) -> InverseOperator:
    dtype, device = space.dtype, space.device
    outputs, kernel = slot.shape[0] // slot.groups, math.prod(slot.shape[2:])
    is_small = slot.shape[1] * kernel <= outputs
    if slot.kind is Kind.CONVOLUTION and has_three_factors and kernel > 1 and not is_small:
        return ThreeFactor(
            outputs, slot.shape[1], kernel, slot.groups, has_bias, scale, dtype, device
        )
    has_row_factor = slot.kind is not Kind.EMBEDDING
    inputs = slot.shape[1] * kernel
    return Kronecker(outputs, inputs, slot.groups, has_bias, has_row_factor, scale, dtype, device)
