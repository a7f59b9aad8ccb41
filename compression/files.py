"""Tensors in safetensors files, written whole or not at all."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

MODEL = "model."
"""How names of a model's own tensors begin in a file."""


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a file; what was there before stays until all is written.

    Args:
        path: The file.
        tensors: By name; they may share memory.
        metadata: Texts by name.
    """
    copies = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    partial.touch()
    rights = partial.stat().st_mode
    try:
        save_file(copies, partial, dict(metadata or {}))
        # safetensors makes files that nobody else may read, whatever the rights of new ones are.
        partial.chmod(rights)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_tensors(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """Tensors of a file by name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no safetensors file, or it is cut off.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path, device=device)
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file: {error}") from error
    return tensors


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """A model's own tensors under the names that they have in a file."""
    return {f"{MODEL}{name}": value for name, value in model.state_dict().items()}


def model_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a file's tensors the model's own, as its `load_state_dict` takes them."""
    return {
        name.removeprefix(MODEL): value for name, value in tensors.items() if name.startswith(MODEL)
    }
