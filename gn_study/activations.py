"""Activations whose derivative is a function of their value, so that values alone need be kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

ActivationName = Literal["relu", "tanh", "softplus", "identity"]
"""Activations there are."""


@dataclass(frozen=True)
class Activation:
    """An elementwise function.

    Attributes:
        value: The function.
        overwriting: The function, which may leave its value in its argument.
        times_slope: The second argument times the function's derivative, from the function's value,
            which is the first.
    """

    value: Callable[[Tensor], Tensor]
    overwriting: Callable[[Tensor], Tensor]
    times_slope: Callable[[Tensor, Tensor], Tensor]


def _unchanged(argument: Tensor) -> Tensor:
    return argument


def _relu_times_slope(value: Tensor, factor: Tensor) -> Tensor:
    # One pass over memory; a mask and a product take several times as long.
    product: Tensor = torch.ops.aten.threshold_backward(factor, value, 0)
    return product


ACTIVATIONS: dict[ActivationName, Activation] = {
    "relu": Activation(torch.relu, torch.relu_, _relu_times_slope),
    "tanh": Activation(torch.tanh, torch.tanh_, lambda value, factor: factor * (1 - value**2)),
    "softplus": Activation(
        functional.softplus,
        functional.softplus,
        lambda value, factor: factor * -torch.expm1(-value),
    ),
    "identity": Activation(_unchanged, _unchanged, lambda value, factor: factor),
}
"""Each activation by its name."""
