"""Additive coupling blocks: reversible by construction, linear in what is trained (Eqs. 14, 15)."""

from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gn_study.activations import ACTIVATIONS, ActivationName

InitialScale = float | Literal["xavier"]
"""Standard deviation of initial trained weights, or Xavier's with the gain of ReLU."""


class HalfLayer(nn.Module):
    """What one half of the state adds to the other: `W act(V x) + b`.

    `W` and `b` are trained, `V` is random and never changes (the paper's inverted bottleneck), so
    the output is linear in what is trained.

    Attributes:
        weight: `W`, `(half_width, hidden)`.
        bias: `b`, `(half_width,)`, or None.
        projection: `V`, `(hidden, half_width)`, a buffer; None for the identity.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    projection: Tensor | None

    def __init__(
        self,
        half_width: int,
        hidden: int | None,
        activation: ActivationName,
        bias: bool,
        init_std: InitialScale,
        generator: torch.Generator,
    ) -> None:
        """Draw the weights; biases begin at nought.

        Args:
            half_width: Size of both halves of the state.
            hidden: Size of `act(V x)`; None leaves `V` out.
            activation: `act`.
            bias: Whether there is `b`.
            init_std: Of `W`; entries of `V` have variance `1 / hidden`.
            generator: What draws them.
        """
        super().__init__()
        self.activation: ActivationName = activation
        if hidden is None:
            self.register_buffer("projection", None)
        else:
            drawn = torch.randn(hidden, half_width, generator=generator)
            self.register_buffer("projection", drawn / sqrt(hidden))
        columns = half_width if hidden is None else hidden
        # Xavier's standard deviation with the gain sqrt(2) of ReLU.
        std = sqrt(4 / (half_width + columns)) if init_std == "xavier" else init_std
        drawn = torch.randn(half_width, columns, generator=generator)
        self.weight = nn.Parameter(std * drawn)
        self.bias = nn.Parameter(torch.zeros(half_width)) if bias else None

    @property
    def largest_rank(self) -> int:
        """Rank that no batch's features, with the bias's column of ones, can exceed."""
        half_width, columns = self.weight.shape
        rank = min(half_width, columns) if self.activation == "identity" else columns
        return rank + (self.bias is not None)

    def features(self, inputs: Tensor) -> Tensor:
        """`act(V x)`, `(num_samples, hidden)`, of `x`, `(num_samples, half_width)`."""
        projected = inputs if self.projection is None else inputs @ self.projection.T
        return ACTIVATIONS[self.activation].value(projected)

    def forward(self, inputs: Tensor) -> Tensor:
        """What is added to the other half, `(num_samples, half_width)`."""
        return self.combine(self.features(inputs))

    def combine(self, features: Tensor) -> Tensor:
        """The output, `(num_samples, half_width)`, from the features."""
        return functional.linear(features, self.weight, self.bias)

    def push_forward(self, features: Tensor, tangent: Tensor, weight: Tensor) -> Tensor:
        """Directional derivative of the output along a tangent of the input.

        Args:
            features: Of the input, `(num_samples, hidden)`.
            tangent: `(num_samples, half_width)`.
            weight: `W`.

        Returns:
            `(num_samples, half_width)`.
        """
        projected = tangent if self.projection is None else tangent @ self.projection.T
        return ACTIVATIONS[self.activation].times_slope(features, projected) @ weight.T

    def pull_back(self, features: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
        """Gradient with respect to the input from the gradient with respect to the output.

        Args:
            features: Of the input, `(num_samples, hidden)`.
            gradient: `(num_samples, half_width)`.
            weight: `W`.

        Returns:
            `(num_samples, half_width)`.
        """
        pulled = ACTIVATIONS[self.activation].times_slope(features, gradient @ weight)
        return pulled if self.projection is None else pulled @ self.projection


class CouplingBlock(nn.Module):
    """Two half-layers, each of which changes one half of the state by means of the other.

    The volume is preserved and the inverse is exact: `first` adds to the left half what it makes of
    the right one, then `second` adds to the right half what it makes of the new left one.
    """

    def __init__(self, first: HalfLayer, second: HalfLayer) -> None:
        """Couple two half-layers of the same width."""
        super().__init__()
        self.first = first
        self.second = second

    def half_layers(self) -> dict[str, HalfLayer]:
        """Both half-layers by name, in the order in which they act."""
        return {"first": self.first, "second": self.second}

    def forward(self, state: Tensor) -> Tensor:
        """State after the block, `(num_samples, width)`, from the one before."""
        left, right = state.chunk(2, dim=-1)
        left = left + self.first(right)
        return torch.cat([left, right + self.second(left)], dim=-1)

    def inverse(self, state: Tensor) -> Tensor:
        """State before the block, `(num_samples, width)`, from the one after."""
        left, right = state.chunk(2, dim=-1)
        right = right - self.second(left)
        return torch.cat([left - self.first(right), right], dim=-1)
