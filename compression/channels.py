"""Whole channels: which weights go together, and their physical removal by Torch-Pruning.

A channel is an output of a layer, all that normalises it, and the inputs of the layers that read
it; channels that are added up, as by the shortcuts of a residual network, go together. What its
removal costs, and what others make up for, is the loss of those inputs; what computed the channel
then goes for nothing.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from compression.errors import StructureError
from compression.parameters import ParameterSpace, Slot
from compression.problem import Inputs, call
from compression.structures import Candidates, Part

AGREEMENT = 1e-3
"""Largest difference of outputs before and after removal, as a share of the largest output."""


@dataclass(frozen=True)
class _Use:
    """How a module is concerned by the channels of a group.

    Attributes:
        name: Of the module.
        reads: Whether the channels are its inputs, not its outputs.
        numbers: Input or output of the module, one for each entry of `channels`.
        channels: Number of the channel within the group.
    """

    name: str
    reads: bool
    numbers: tuple[int, ...]
    channels: tuple[int, ...]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that several layers share.

    Attributes:
        root: Name of a module that computes them.
        num_channels: How many.
        uses: Of modules with parameters.
    """

    root: str
    num_channels: int
    uses: tuple[_Use, ...]


def find_channels(
    model: nn.Module, inputs: Inputs, space: ParameterSpace
) -> tuple[list[ChannelGroup], Candidates]:
    """The channels that can be removed.

    Those stay that are the model's outputs, and those that reach a layer of another kind than
    linear layers, convolutions (also depthwise) and batch normalisation, or one that is not
    covered: it might compute something else once they are gone.

    Args:
        model: Any module.
        inputs: An example.
        space: The covered weights.

    Returns:
        The groups, and their channels as candidates, one atom each, group by group.

    Raises:
        StructureError: No channel can be removed.
        ImportError: Torch-Pruning is not installed.
    """
    slots = {slot.name: slot for slot in space.slots}
    groups = [group for group, _ in _groups(model, inputs) if _is_removable(model, group, slots)]
    if not groups:
        raise StructureError(
            "no channel can be removed: each is an output, or reaches a layer other than linear "
            "layers, convolutions and batch normalisation"
        )
    atoms, positions, is_free, parts, layers = [], [], [], [], []
    first = 0
    for number, group in enumerate(groups):
        layers += [number] * group.num_channels
        for use in group.uses:
            found = _positions(use, slots, space)
            channels = torch.tensor(use.channels, device=space.device) + first
            atoms.append(channels.repeat_interleave(found.shape[1]))
            positions.append(found.flatten())
            is_free.append(torch.full_like(positions[-1], not use.reads, dtype=torch.bool))
            if use.reads:
                parts += _parts(channels, found)
        first += group.num_channels
    reachable = torch.zeros_like(space.prunable)
    reachable[torch.cat(positions)] = True
    candidates = Candidates(
        torch.cat(atoms),
        torch.cat(positions),
        torch.tensor(layers, device=space.device),
        reachable & space.prunable,
        tuple(parts),
        torch.cat(is_free),
        keeps_one=True,
    )
    return groups, candidates


def without_channels(
    model: nn.Module, inputs: Inputs, groups: Sequence[ChannelGroup], is_removed: Tensor
) -> nn.Module:
    """A copy of a model from which channels are physically removed.

    Args:
        model: With the weights of removed channels at 0.
        inputs: An example.
        groups: As `find_channels` gave them.
        is_removed: For each channel, group by group, bool `(num_channels,)`.

    Raises:
        StructureError: The smaller model computes something else, so an operation mixes channels
            in a way that is not seen.
        ImportError: Torch-Pruning is not installed.
    """
    smaller = copy.deepcopy(model)
    found = {group.root: handle for group, handle in _groups(smaller, inputs)}
    sizes = [group.num_channels for group in groups]
    for group, removed in zip(groups, torch.split(is_removed, sizes), strict=True):
        numbers = removed.nonzero().flatten().tolist()
        if numbers:
            found[group.root].prune(numbers)
    with torch.no_grad():
        expected, outputs = call(model, inputs), call(smaller, inputs)
    if not bool((outputs - expected).abs().max() <= AGREEMENT * expected.abs().max()):
        raise StructureError(
            "the model without the removed channels computes something else: an operation mixes "
            "channels; leave its layers whole with exclude="
        )
    return smaller


def _groups(model: nn.Module, inputs: Inputs) -> list[tuple[ChannelGroup, Any]]:
    """Groups of channels, each with Torch-Pruning's handle on it."""
    try:
        import torch_pruning
    except ImportError as error:
        raise ImportError(
            "structure='channel' needs Torch-Pruning: pip install torch-pruning"
        ) from error
    names = {module: name for name, module in model.named_modules()}
    with torch.enable_grad(), _all_trained(model):
        graph = torch_pruning.DependencyGraph().build_dependency(model, inputs, verbose=False)
    groups = []
    for handle in graph.get_all_groups(root_module_types=[_ConvNd, nn.Linear]):
        uses = []
        for item in handle:
            module = item.dep.target.module
            # Operations without weights, such as a rectifier, pass channels on as they are.
            if isinstance(module, nn.Parameter) or next(module.parameters(), None) is not None:
                reads = not graph.is_out_channel_pruning_fn(item.dep.handler)
                name = names.get(module, "")
                uses.append(_Use(name, reads, tuple(item.idxs), tuple(item.root_idxs)))
        root = handle[0]
        groups.append(
            (ChannelGroup(names[root.dep.target.module], len(root.idxs), tuple(uses)), handle)
        )
    return groups


@contextmanager
def _all_trained(model: nn.Module) -> Iterator[None]:
    """All parameters have gradients, by which operations are followed; frozen ones, too."""
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _is_removable(model: nn.Module, group: ChannelGroup, slots: dict[str, Slot]) -> bool:
    modules = {use.name: model.get_submodule(use.name) for use in group.uses if use.name}
    return (
        len(modules) == len({use.name for use in group.uses})
        and any(use.reads for use in group.uses)
        and all(_is_simple(module) for module in modules.values())
        and all(
            f"{name}.{short}" in slots
            for name, module in modules.items()
            for short, _ in module.named_parameters(recurse=False)
        )
    )


def _is_simple(module: nn.Module) -> bool:
    """Whether the channels of a module have nothing to do with each other but through weights."""
    if isinstance(module, _ConvNd):
        is_depthwise = module.groups == module.in_channels == module.out_channels
        return not module.transposed and (module.groups == 1 or is_depthwise)
    return isinstance(module, nn.Linear | _BatchNorm)


def _positions(use: _Use, slots: dict[str, Slot], space: ParameterSpace) -> Tensor:
    """Positions of the weights that each number of a use concerns, int64 `(numbers, width)`."""
    numbers = torch.tensor(use.numbers, device=space.device)
    found = []
    for short in ("weight", "bias"):
        slot = slots.get(f"{use.name}.{short}")
        if slot is None or (use.reads and short == "bias"):
            continue
        positions = torch.arange(slot.start, slot.stop, device=space.device).view(slot.shape)
        along = positions.movedim(1, 0) if use.reads else positions
        found.append(along[numbers].reshape(len(numbers), -1))
    return torch.cat(found, dim=1)


def _parts(channels: Tensor, positions: Tensor) -> list[Part]:
    """Read inputs by channel: a channel that was flattened has several numbers."""
    repeats = int((channels == channels[0]).sum())
    order = channels.argsort(stable=True)
    atoms = channels[order].view(-1, repeats)
    grouped = positions[order].view(len(atoms), -1)
    return [Part(atoms[:, 0], grouped.sort(dim=1).values)]
