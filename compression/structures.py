"""Patterns in which weights may be removed: one by one, N of M, in blocks."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from compression.errors import StructureError
from compression.parameters import Kind, ParameterSpace, Slot

Structure: TypeAlias = Literal["unstructured", "block4", "channel"] | tuple[int, int]
"""`"unstructured"`: single weights. `(n, m)`: at least `m - n` zeros among `m` consecutive inputs
in the end, `n` kept. `"block4"`: four consecutive inputs at once. `"channel"`: whole channels, with
all that computes and reads them (`compression.channels`)."""

Scope: TypeAlias = Literal["global", "layer"]
"""Whether the sparsity is that of all layers together, or of each layer."""

BLOCK = 4
"""Weights of a block of `"block4"`."""


@dataclass(frozen=True)
class Limit:
    """How many weights may go from each of several groups.

    Attributes:
        groups: Positions in the flat vector, int64 `(num_groups, group_size)`.
        most: How many of a group may go in all.
    """

    groups: Tensor
    most: int


@dataclass(frozen=True)
class Part:
    """Positions whose removal costs something, equally many for each of several atoms.

    Attributes:
        atoms: int64 `(num_groups,)`.
        positions: In the flat vector, int64 `(num_groups, group_size)`.
    """

    atoms: Tensor
    positions: Tensor


@dataclass(frozen=True)
class Candidates:
    """What can be removed, as one each: atoms.

    Attributes:
        atoms: The atom of each pair, int64 `(num_pairs,)`.
        positions: A position in the flat vector that goes with the atom, int64 `(num_pairs,)`.
        layers: Where each atom is counted if each layer has its own sparsity, int64
            `(num_atoms,)`.
        reachable: Prunable weights that some atom holds, bool `(size,)`.
        parts: What an atom costs is the sum over its groups in all parts; none for single weights.
        is_free: Pairs that go with their atom for nothing, as what computes a channel does once
            nothing reads it, bool `(num_pairs,)`; None where there are none.
        limit: How many weights may go from a group; None for any number.
        keeps_one: Whether an atom of each layer stays.
    """

    atoms: Tensor
    positions: Tensor
    layers: Tensor
    reachable: Tensor
    parts: tuple[Part, ...] = ()
    is_free: Tensor | None = None
    limit: Limit | None = None
    keeps_one: bool = False

    @property
    def num_atoms(self) -> int:
        """Number of atoms."""
        return len(self.layers)

    def total(self, scores: Tensor) -> Tensor:
        """Sum of scores `(size,)` over each atom, `(num_atoms,)`."""
        totals = torch.zeros(self.num_atoms, dtype=scores.dtype, device=scores.device)
        return totals.index_add_(0, self.atoms, scores[self.positions])

    def alive(self, mask: Tensor) -> Tensor:
        """Whether anything of each atom is kept under a mask `(size,)`, bool `(num_atoms,)`."""
        counts = torch.zeros(self.num_atoms, dtype=torch.int64, device=mask.device)
        return counts.index_add_(0, self.atoms, mask[self.positions].long()) > 0

    def free(self, before: Tensor, after: Tensor) -> Tensor:
        """What went for nothing between two masks, bool `(size,)`."""
        found = torch.zeros_like(before)
        if self.is_free is not None:
            gone = self.alive(before) & ~self.alive(after)
            found[self.positions[self.is_free & gone[self.atoms]]] = True
        return found

    def without(self, mask: Tensor, is_removed: Tensor) -> Tensor:
        """The mask `(size,)` after removal of atoms, bool `(num_atoms,)`."""
        left = mask.clone()
        left[self.positions[is_removed[self.atoms]]] = False
        return left


def make_candidates(space: ParameterSpace, structure: Structure) -> Candidates:
    """What can be removed from a space under a structure, channels excepted.

    Groups are consecutive inputs: input channels of a convolution at one position of its kernel,
    or input features. Layers whose inputs do not divide into groups stay dense.

    Raises:
        StructureError: No such structure, or no layer it suits.
    """
    match structure:
        case "unstructured":
            return _singles(space, None)
        case "block4":
            groups = _input_groups(space, BLOCK)
            return _of_groups(space, groups)
        case (int() as kept, int() as width) if 0 < kept < width:
            return _singles(space, Limit(_input_groups(space, width), width - kept))
        case _:
            raise StructureError(
                "structure must be 'unstructured', 'block4', 'channel' or (n, m) with 0 < n < m, "
                f"not {structure!r}"
            )


def _singles(space: ParameterSpace, limit: Limit | None) -> Candidates:
    reachable = space.prunable
    if limit is not None:
        reachable = torch.zeros_like(space.prunable)
        reachable[limit.groups.flatten()] = True
        reachable &= space.prunable
    positions = reachable.nonzero().squeeze(1)
    numbers = torch.arange(len(positions), device=space.device)
    return Candidates(numbers, positions, _layers(space, positions), reachable, limit=limit)


def _of_groups(space: ParameterSpace, groups: Tensor) -> Candidates:
    numbers = torch.arange(len(groups), device=space.device)
    reachable = torch.zeros_like(space.prunable)
    reachable[groups.flatten()] = True
    return Candidates(
        numbers.repeat_interleave(groups.shape[1]),
        groups.flatten(),
        _layers(space, groups[:, 0]),
        reachable,
        (Part(numbers, groups),),
    )


def _layers(space: ParameterSpace, positions: Tensor) -> Tensor:
    """Number of the slot that holds each position."""
    stops = torch.tensor([slot.stop for slot in space.slots], device=space.device)
    return torch.bucketize(positions.contiguous(), stops, right=True)


def _input_groups(space: ParameterSpace, width: int) -> Tensor:
    """Positions of consecutive inputs, int64 `(num_groups, width)`."""
    groups = [
        _groups_of(slot, space, width)
        for slot in space.slots
        if slot.is_prunable and slot.kind is not Kind.EMBEDDING and slot.shape[1] % width == 0
    ]
    if not groups:
        raise StructureError(f"no layer has a number of inputs that {width} divides")
    return torch.cat(groups)


def _groups_of(slot: Slot, space: ParameterSpace, width: int) -> Tensor:
    positions = torch.arange(slot.start, slot.stop, device=space.device).view(slot.shape)
    # Inputs last, so that consecutive ones lie together.
    return positions.movedim(1, -1).reshape(-1, width)


def select(
    candidates: Candidates, scores: Tensor, mask: Tensor, sparsity: float, scope: Scope
) -> Tensor:
    """Remove the atoms of lowest score until a sparsity is reached.

    What is removed already stays so and counts. Atoms go in the order of their scores (the first
    of equals first), as many as go without removing more weights than asked for: exactly as many
    where atoms are single weights.

    Args:
        candidates: What can be removed.
        scores: Of each atom, `(num_atoms,)`.
        mask: Bool `(size,)`, what is kept before.
        sparsity: Of the reachable weights, afterwards.
        scope: Whether all layers together reach it, or each.

    Returns:
        What is kept afterwards, bool `(size,)`.
    """
    is_gone = ~candidates.alive(mask)
    order = torch.where(is_gone, -torch.inf, scores)
    allowed = torch.ones_like(is_gone) if candidates.limit is None else _allowed(candidates, order)
    if candidates.keeps_one:
        allowed[_dearest(candidates, order)] = False
    if scope == "global":
        return _lowest(candidates, order, mask, allowed & ~is_gone, sparsity, None)
    for layer in sorted(set(candidates.layers.tolist())):
        here = candidates.layers == layer
        mask = _lowest(candidates, order, mask, allowed & ~is_gone & here, sparsity, here)
    return mask


def _dearest(candidates: Candidates, order: Tensor) -> Tensor:
    """The atom of highest score in each layer, int64 `(num_layers,)`."""
    by_score = order.argsort(stable=True)
    number = int(candidates.layers.max()) + 1
    ranks = torch.full((number,), -1, dtype=torch.int64, device=order.device)
    rank = torch.arange(len(by_score), device=order.device)
    ranks.scatter_reduce_(0, candidates.layers[by_score], rank, "amax")
    return by_score[ranks[ranks >= 0]]


def _allowed(candidates: Candidates, order: Tensor) -> Tensor:
    """Single weights among the lowest of their group that may go, bool `(num_atoms,)`."""
    limit = candidates.limit
    assert limit is not None
    size = int(candidates.reachable.shape[0])
    scores = torch.full((size,), torch.inf, dtype=order.dtype, device=order.device)
    scores[candidates.positions] = order
    lowest = scores[limit.groups].argsort(dim=1, stable=True)[:, : limit.most]
    may_go = torch.zeros(size, dtype=torch.bool, device=order.device)
    may_go[limit.groups.gather(1, lowest).flatten()] = True
    return may_go[candidates.positions]


def _lowest(
    candidates: Candidates,
    order: Tensor,
    mask: Tensor,
    may_go: Tensor,
    sparsity: float,
    here: Tensor | None,
) -> Tensor:
    """Remove what may go, lowest first, until the sparsity of the weights considered is reached."""
    considered = candidates.reachable
    if here is not None:
        considered = torch.zeros_like(considered)
        considered[candidates.positions[here[candidates.atoms]]] = True
        considered &= candidates.reachable
    goal = round(sparsity * int(considered.sum()))
    numbers = may_go.nonzero().squeeze(1)
    is_removed = torch.zeros_like(may_go)
    if len(candidates.positions) == candidates.num_atoms:
        count = max(0, goal - int((considered & ~mask).sum()))
        is_removed[numbers[_smallest(order[numbers], count)]] = True
        return candidates.without(mask, is_removed)
    numbers = numbers[order[numbers].argsort(stable=True)]
    # Atoms may share weights, so the largest number that goes is searched for, not computed.
    least, most = 0, len(numbers)
    while least < most:
        middle = (least + most + 1) // 2
        is_removed.zero_()
        is_removed[numbers[:middle]] = True
        if int((considered & ~candidates.without(mask, is_removed)).sum()) <= goal:
            least = middle
        else:
            most = middle - 1
    is_removed.zero_()
    is_removed[numbers[:least]] = True
    return candidates.without(mask, is_removed)


def _smallest(values: Tensor, count: int) -> Tensor:
    """Places of the smallest values, the first of equals first; all if there are no more."""
    if count >= len(values):
        return torch.arange(len(values), device=values.device)
    if count == 0:
        return torch.arange(0, device=values.device)
    threshold = values.kthvalue(count).values
    below = (values < threshold).nonzero().squeeze(1)
    equal = (values == threshold).nonzero().squeeze(1)
    return torch.cat([below, equal[: count - len(below)]])
