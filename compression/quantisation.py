"""Weights as small whole numbers with a scale for each output, rounded so that the loss heeds it.

Weights of linear layers, convolutions, embeddings and attention are rounded; biases and
normalisations stay as they are, but move to make up for it (`compression.rounding`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from compression.curvature import Curvature
from compression.lattice import Lattice, least_error_steps
from compression.parameters import ParameterSpace, Slot
from compression.problem import Problem
from compression.rounding import round_by_factors, round_in_rounds

LEAST_BITS, MOST_BITS = 2, 8


@dataclass(frozen=True)
class QuantisedWeight:
    """A weight as whole numbers times scales.

    Attributes:
        codes: int8, in the weight's shape, from `-limit` to `limit` of `largest_code(bits)`.
        scales: In the weight's dtype, `(outputs, groups)`.
        bits: Of a code.
        group_size: Consecutive inputs that share a scale; the last group may be smaller. None if
            all inputs of an output do.
    """

    codes: Tensor
    scales: Tensor
    bits: int
    group_size: int | None

    def values(self) -> Tensor:
        """The weight, in the dtype of the scales."""
        codes = self.codes.flatten(start_dim=1).to(self.scales.dtype)
        return (codes * spread(self.scales, codes.shape[1], self.group_size)).view(self.codes.shape)


def largest_code(bits: int) -> int:
    """Largest multiple of a scale: codes are symmetric, so one of `2^bits` stays unused."""
    return (1 << (bits - 1)) - 1


def spread(scales: Tensor, width: int, group_size: int | None) -> Tensor:
    """The scale of each of `width` inputs, `(outputs, width)`, from one a group."""
    return scales.repeat_interleave(group_size or width, dim=1)[:, :width]


def check_format(bits: int, group_size: int | None) -> None:
    """Refuse what weights cannot be stored as.

    Raises:
        ValueError: Not `2 <= bits <= 8`, or groups of no inputs.
    """
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise ValueError(f"bits must be from {LEAST_BITS} to {MOST_BITS}, not {bits}")
    if group_size is not None and group_size < 1:
        raise ValueError(f"group_size must be 1 or more, or None, not {group_size}")


@torch.no_grad()
def quantised(
    problem: Problem,
    curvature: Curvature | None,
    mask: Tensor,
    bits: int,
    group_size: int | None,
) -> tuple[dict[str, QuantisedWeight], Tensor]:
    """Round a model's weights.

    Args:
        problem: Whose weights; the model is left as it is.
        curvature: By which scales are chosen and other weights make up for rounding; None to round
            each to the nearest.
        mask: What is kept, bool `(size,)`; what is not becomes 0.
        bits: Of a code.
        group_size: Consecutive inputs that share a scale; None for all.

    Returns:
        Weights by name, and all covered numbers afterwards, `(size,)`.

    Raises:
        ValueError: There is no such format.
        DivergedError: The curvature is not positive definite.
    """
    check_format(bits, group_size)
    space = problem.space
    weights = torch.where(mask, space.read(problem.model), 0)
    importance = torch.ones_like(weights)
    if curvature is not None:
        diagonal = curvature.inverse_diagonal()
        importance = torch.where(mask, diagonal, 1).reciprocal()
    scales = {
        slot.name: _scales(slot, problem, weights, importance, bits, group_size)
        for slot in space.slots
        if slot.is_prunable
    }
    lattice = Lattice(_steps(space, scales, group_size), largest_code(bits))
    rounded = _rounded(weights, _movable(space, mask), lattice, curvature)
    multiples = space.unflatten(lattice.multiples(rounded))
    found = {
        name: QuantisedWeight(multiples[name].to(torch.int8), of_weight, bits, group_size)
        for name, of_weight in scales.items()
    }
    return found, rounded


def _rounded(
    weights: Tensor, movable: Tensor, lattice: Lattice, curvature: Curvature | None
) -> Tensor:
    if curvature is None or not curvature.compensates:
        return lattice.nearest(weights)
    parts = curvature.factored()
    if parts is not None:
        return round_by_factors(weights, movable, lattice, parts)
    diagonal = curvature.inverse_diagonal()
    return round_in_rounds(weights, movable, lattice, curvature.inverse_product, diagonal)


def _movable(space: ParameterSpace, mask: Tensor) -> Tensor:
    """What is kept and read by the model."""
    return mask if space.constant is None else mask & ~space.constant


def _scales(
    slot: Slot,
    problem: Problem,
    weights: Tensor,
    importance: Tensor,
    bits: int,
    group_size: int | None,
) -> Tensor:
    """Scales `(outputs, groups)` of a weight, in its dtype."""
    width = math.prod(slot.shape[1:])
    size = group_size or width
    missing = -width % size
    values, cares = (
        functional.pad(of[slot.positions].view(slot.shape[0], width), (0, missing)).view(-1, size)
        for of in (weights, importance)
    )
    steps = least_error_steps(values, cares, largest_code(bits))
    dtype = problem.model.get_parameter(slot.name).dtype
    return steps.to(dtype).clamp(min=torch.finfo(dtype).tiny).view(slot.shape[0], -1)


def _steps(space: ParameterSpace, scales: Mapping[str, Tensor], group_size: int | None) -> Tensor:
    """The scale of each number, 0 where it is not rounded, `(size,)`."""
    steps = torch.zeros(space.size, dtype=space.dtype, device=space.device)
    for slot in space.slots:
        if slot.name in scales:
            width = math.prod(slot.shape[1:])
            steps[slot.positions] = spread(scales[slot.name], width, group_size).flatten().to(steps)
    return steps
