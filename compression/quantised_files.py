"""Models with quantised weights in safetensors files, codes of up to four bits packed in pairs."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from compression.files import MODEL, model_state, model_tensors, read_tensors, write_tensors
from compression.quantisation import QuantisedWeight, check_format

CODES, SCALES = "codes.", "scales."
"""How names of a quantised weight's parts begin in a file."""

BITS, GROUP_SIZE = "bits", "group_size"
"""Names in the file's metadata, with which those of the weights begin."""

PACKED_BITS = 4
"""Codes of so many bits share a byte with another."""


def pack(codes: Tensor) -> Tensor:
    """Two codes from -8 to 7 in a byte, the earlier one in its lower half.

    Args:
        codes: int8, any shape.

    Returns:
        uint8 `((number + 1) // 2,)`; the last upper half is 0 if the number is odd.
    """
    halves = codes.flatten().view(torch.uint8) & 0xF
    pairs = torch.nn.functional.pad(halves, (0, len(halves) % 2)).view(-1, 2)
    return pairs[:, 0] | (pairs[:, 1] << 4)


def unpack(packed: Tensor, shape: torch.Size) -> Tensor:
    """Codes of a shape that `pack` packed, int8."""
    halves = torch.stack([packed & 0xF, packed >> 4], dim=1).flatten()[: shape.numel()]
    # From 0..15 back to -8..7.
    return ((halves ^ 8).to(torch.int8) - 8).view(shape)


def save_quantised(path: Path, model: nn.Module, weights: Mapping[str, QuantisedWeight]) -> None:
    """Write a quantised model: codes and scales of quantised weights, all else as it is.

    Args:
        path: The file; a safetensors file with the parts `codes.NAME` and `scales.NAME` of weights,
            `model.NAME` of all else, and bits and group sizes as metadata.
        model: As `Surgeon.quantise` left it.
        weights: As `Surgeon.quantise` gave them.

    Raises:
        ValueError: A weight of the model is not what the codes say, as after further training.
    """
    tensors = model_tensors(model)
    metadata = {}
    for name, weight in weights.items():
        own = tensors.pop(f"{MODEL}{name}", None)
        if own is None or not torch.equal(own, weight.values()):
            raise ValueError(
                f"{name} is not the weight that was quantised; save right after quantise(), and "
                "quantise a model without channels only after finalize()"
            )
        is_packed = weight.bits <= PACKED_BITS
        tensors[f"{CODES}{name}"] = pack(weight.codes) if is_packed else weight.codes
        tensors[f"{SCALES}{name}"] = weight.scales
        metadata[f"{BITS}.{name}"] = str(weight.bits)
        metadata[f"{GROUP_SIZE}.{name}"] = str(weight.group_size or "")
    write_tensors(path, tensors, metadata)


def load_quantised(path: Path, model: nn.Module) -> dict[str, QuantisedWeight]:
    """Read what `save_quantised` wrote into a model of the same architecture, bit for bit.

    Args:
        path: The file.
        model: Becomes the saved one: plain weights, each exactly its code times its scale.

    Returns:
        The quantised weights by name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no quantised model, or one of another architecture.
    """
    tensors = read_tensors(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    names = [name.removeprefix(CODES) for name in tensors if name.startswith(CODES)]
    if not names:
        raise ValueError(f"{path} holds no quantised weight; load it as a plain model")
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    state, weights = model_state(tensors), {}
    for name in names:
        if name not in shapes:
            raise ValueError(f"{path} is of another model: it has {name}, this one has not")
        weights[name] = _weight(name, shapes[name], tensors, metadata, path)
        state[name] = weights[name].values()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} is of another model: {error}") from error
    return weights


def _weight(
    name: str,
    shape: torch.Size,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    path: Path,
) -> QuantisedWeight:
    try:
        bits = int(metadata[f"{BITS}.{name}"])
        group_size = int(metadata[f"{GROUP_SIZE}.{name}"] or 0) or None
        check_format(bits, group_size)
        codes, scales = tensors[f"{CODES}{name}"], tensors[f"{SCALES}{name}"]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} does not say how {name} is quantised: {error}") from error
    number = shape.numel()
    expected = (number + 1) // 2 if bits <= PACKED_BITS else number
    if codes.numel() != expected or len(scales) != shape[0]:
        raise ValueError(f"{path} is of another model: {name} is not of shape {tuple(shape)}")
    if bits <= PACKED_BITS:
        codes = unpack(codes, shape)
    return QuantisedWeight(codes, scales, bits, group_size)
