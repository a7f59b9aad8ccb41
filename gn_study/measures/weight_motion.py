"""How far weights have moved from where they began."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WeightMotion:
    """Motion of one weight tensor; the paper's appendix I reports the first two (its figure 9).

    Attributes:
        norm_ratio: `||W|| / ||W0||`.
        cosine: Of the angle between `W` and `W0`.
        relative: `||W - W0|| / ||W0||`.
    """

    norm_ratio: float
    cosine: float
    relative: float


def weight_motion(
    initial: Mapping[str, Tensor], current: Mapping[str, Tensor]
) -> dict[str, WeightMotion]:
    """Motion of each tensor, computed in float64.

    Tensors that began at 0, such as biases, have no direction to compare with: their figures are
    NaN or infinite.

    Args:
        initial: Weights by name at the beginning.
        current: The same names and shapes now.

    Raises:
        ValueError: The names differ.
    """
    _require_same_names(initial, current)
    return {name: _motion(initial[name], current[name]) for name in initial}


def overall_motion(initial: Mapping[str, Tensor], current: Mapping[str, Tensor]) -> WeightMotion:
    """Motion of all tensors together, as one long vector.

    Args:
        initial: Weights by name at the beginning.
        current: The same names and shapes now.

    Raises:
        ValueError: The names differ.
    """
    _require_same_names(initial, current)
    names = list(initial)
    return _motion(
        torch.cat([initial[name].flatten() for name in names]),
        torch.cat([current[name].flatten() for name in names]),
    )


def _require_same_names(initial: Mapping[str, Tensor], current: Mapping[str, Tensor]) -> None:
    if initial.keys() != current.keys():
        raise ValueError("the weights at the beginning have other names than those now")


def _motion(initial: Tensor, current: Tensor) -> WeightMotion:
    first, last = initial.detach().double().flatten(), current.detach().double().flatten()
    norm = first.norm()
    return WeightMotion(
        norm_ratio=float(last.norm() / norm),
        cosine=float((first @ last) / (norm * last.norm())),
        relative=float((last - first).norm() / norm),
    )
