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
        slope: Its derivative, from its value.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


ACTIVATIONS: dict[ActivationName, Activation] = {
    "relu": Activation(torch.relu, lambda value: (value > 0).to(value.dtype)),
    "tanh": Activation(torch.tanh, lambda value: 1 - value**2),
    "softplus": Activation(functional.softplus, lambda value: -torch.expm1(-value)),
    "identity": Activation(lambda argument: argument, torch.ones_like),
}
"""Each activation by its name."""
