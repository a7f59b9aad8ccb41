"""Additive coupling blocks: reversible by construction, linear in what is trained (Eqs. 14, 15)."""

from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gn_study.activations import ACTIVATIONS, ActivationName

SAMPLES_AT_ONCE = 256
"""How many go through a derivative at a time: whole batches of hidden width would add up."""
InitialScale = float | Literal["xavier"]
"""Standard deviation of initial trained weights, or Xavier's with the gain of ReLU."""


class HalfLayer(nn.Module):
    """What one half of the state adds to the other: `W act(V x) + b`.

    `W` and `b` are trained, `V` is random and never changes (the paper's inverted bottleneck), so
    the output is linear in what is trained. Subclasses may apply the same `W` and `b` at several
    positions of a sample; features have a row for each position of each sample.

    Attributes:
        weight: `W`, `(num_channels, hidden)`; here as many channels as the half is wide.
        bias: `b`, `(num_channels,)`, or None.
        projection: `V`, `(hidden, half_width)`, a buffer; None for the identity.
        num_positions: Number of rows of features that a sample has.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    projection: Tensor | None
    num_positions: int = 1

    def __init__(
        self,
        num_channels: int,
        projection: Tensor | None,
        activation: ActivationName,
        bias: bool,
        init_std: InitialScale,
        generator: torch.Generator,
    ) -> None:
        """Draw the weights; biases begin at nought.

        Args:
            num_channels: Rows of `W`.
            projection: `V`; None leaves it out.
            activation: `act`.
            bias: Whether there is `b`.
            init_std: Of `W`.
            generator: What draws it.
        """
        super().__init__()
        self.activation: ActivationName = activation
        self.register_buffer("projection", projection)
        columns = num_channels if projection is None else len(projection)
        # Xavier's standard deviation with the gain sqrt(2) of ReLU.
        std = sqrt(4 / (num_channels + columns)) if init_std == "xavier" else init_std
        drawn = torch.randn(num_channels, columns, generator=generator)
        self.weight = nn.Parameter(std * drawn)
        self.bias = nn.Parameter(torch.zeros(num_channels)) if bias else None

    @property
    def largest_rank(self) -> int:
        """Rank that no batch's features, with the bias's column of ones, can exceed."""
        rank = self.weight.shape[1]
        if self.activation == "identity" and self.projection is not None:
            rank = min(rank, self.projection[0].numel())
        return rank + (self.bias is not None)

    def features(self, inputs: Tensor) -> Tensor:
        """`act(V x)`, `(num_rows, hidden)`, of `x`, `(num_samples, half_width)`."""
        activation = ACTIVATIONS[self.activation]
        if self.projection is None:
            return activation.value(inputs)
        return activation.overwriting(self.project(inputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """What is added to the other half, `(num_samples, half_width)`."""
        return self.combine(self.features(inputs))

    def combine(self, features: Tensor) -> Tensor:
        """The output, `(num_samples, half_width)`, from the features."""
        return self.combine_with(features, self.weight, self.bias)

    def combine_with(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What the output would be with other weights, `(num_samples, half_width)`.

        Args:
            features: `(num_rows, hidden)`.
            weight: In place of `W`.
            bias: In place of `b`.
        """
        return self.from_rows(functional.linear(features, weight, bias))

    def push_forward(self, features: Tensor, tangent: Tensor, weight: Tensor) -> Tensor:
        """Directional derivative of the output along a tangent of the input.

        Args:
            features: Of the input, `(num_rows, hidden)`.
            tangent: `(num_samples, half_width)`.
            weight: `W`.

        Returns:
            `(num_samples, half_width)`.
        """
        times_slope = ACTIVATIONS[self.activation].times_slope
        rows_in_parts = torch.split(features, SAMPLES_AT_ONCE * self.num_positions)
        parts = zip(rows_in_parts, torch.split(tangent, SAMPLES_AT_ONCE), strict=True)
        changes = [
            self.from_rows(times_slope(rows, self.project(part)) @ weight.T) for rows, part in parts
        ]
        return torch.cat(changes)

    def pull_back(self, features: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
        """Gradient with respect to the input from the gradient with respect to the output.

        Args:
            features: Of the input, `(num_rows, hidden)`.
            gradient: `(num_samples, half_width)`.
            weight: `W`.

        Returns:
            `(num_samples, half_width)`.
        """
        times_slope = ACTIVATIONS[self.activation].times_slope
        return self.project_back(times_slope(features, self.to_rows(gradient) @ weight))

    def project(self, inputs: Tensor) -> Tensor:
        """`V x`, `(num_rows, hidden)`, of `x`, `(num_samples, half_width)`."""
        return inputs if self.projection is None else inputs @ self.projection.T

    def project_back(self, rows: Tensor) -> Tensor:
        """`V^T r`, `(num_samples, half_width)`, of `r`, `(num_rows, hidden)`."""
        return rows if self.projection is None else rows @ self.projection

    def to_rows(self, half: Tensor) -> Tensor:
        """Half a state, `(num_samples, half_width)`, as `(num_rows, num_channels)`."""
        return half

    def from_rows(self, rows: Tensor) -> Tensor:
        """The half that `to_rows` made rows, `(num_rows, num_channels)`, of."""
        return rows


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
