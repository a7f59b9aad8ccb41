"""A safetensors file of weights, in which weights that are mostly 0 take little room.

The compact layout keeps a bit for each weight, whether it is stored, and the stored ones side by
side. It is chosen where it is the smaller one, so that models nobody pruned are written as ever.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

KEPT, VALUES = "kept", "values"
"""Names of the two tensors of the compact layout: packed bits, and the weights they stand for."""

SHAPES = "shapes"
"""Key of the file's metadata: name and shape of each weight in order, as JSON. Only if compact."""


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write weights; `read_weights` gives them back to the last bit.

    Args:
        weights: By name.
        path: Of the file.
    """
    dense = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    compact = _compact(dense)
    if compact is None or _num_bytes(compact) >= _num_bytes(dense):
        save_file(dense, path)
        return
    shapes = {name: list(weight.shape) for name, weight in dense.items()}
    save_file(compact, path, metadata={SHAPES: json.dumps(shapes)})


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read what `write_weights` wrote, in either layout.

    Raises:
        ValueError: The parts of a compact file do not fit each other.
    """
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata() or {}
    if SHAPES not in metadata:
        return tensors
    return _expanded(tensors[KEPT], tensors[VALUES], json.loads(metadata[SHAPES]), path)


def _compact(weights: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The two tensors of the compact layout; None where weights are of several types."""
    if len({weight.dtype for weight in weights.values()}) != 1:
        return None
    flat = torch.cat([weight.flatten() for weight in weights.values()])
    kept = flat.ne(0) | flat.signbit()  # a zero with a sign is a bit pattern of its own
    packed = torch.from_numpy(np.packbits(kept.numpy()))
    return {KEPT: packed, VALUES: flat[kept]}


def _expanded(
    packed: Tensor, values: Tensor, shapes: Mapping[str, list[int]], path: Path
) -> dict[str, Tensor]:
    sizes = [math.prod(shape) for shape in shapes.values()]
    kept = torch.from_numpy(np.unpackbits(packed.numpy())).bool()
    if len(packed) != -(-sum(sizes) // 8) or int(kept.sum()) != len(values):
        raise ValueError(f"{path} is damaged: bits, weights and shapes do not fit each other")
    flat = torch.zeros(sum(sizes), dtype=values.dtype)
    flat[kept[: len(flat)]] = values
    # Each in memory of its own, aligned as it was in training.
    parts = zip(shapes.items(), torch.split(flat, sizes), strict=True)
    return {name: part.view(shape).clone() for (name, shape), part in parts}


def _num_bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
