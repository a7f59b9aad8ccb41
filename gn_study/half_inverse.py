"""Inverting the trained part of a half-layer on one batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gn_study.coupling import HalfLayer
from gn_study.factors import Factor, factor_gram, factor_matrix
from gn_study.pseudo_inverse import PseudoInverse

CHUNK = 1024
"""Columns of features that are converted to float64 at once."""


@dataclass(frozen=True)
class HalfInverse:
    """Pseudo-inverse of a half-layer's features on one batch.

    With `A` the features and a column of ones for the bias, the output changes by `A D` if the
    weights and bias change by `D^T`.

    Attributes:
        features: `(num_samples, hidden)`.
        inverted: The same with noise, where the pseudo-inverse asks for it.
        has_bias: Whether `A` has the column of ones.
        factor: Of `A`.
    """

    features: Tensor
    inverted: Tensor
    has_bias: bool
    factor: Factor

    @classmethod
    def of(
        cls,
        half: HalfLayer,
        features: Tensor,
        pseudo_inverse: PseudoInverse,
        generator: torch.Generator | None = None,
    ) -> "HalfInverse":
        """Decompose features.

        Args:
            half: Whose they are.
            features: `(num_samples, hidden)`.
            pseudo_inverse: How they are inverted.
            generator: Of noise; None for torch's own.
        """
        inverted, has_bias = features, half.bias is not None
        if pseudo_inverse.kind == "noise":
            noise = torch.randn(features.shape, generator=generator, dtype=features.dtype)
            scale = pseudo_inverse.noise_std * features.std()
            inverted = features + scale * noise.to(features.device)
        if pseudo_inverse.route == "gram":
            factor = factor_gram(gram_matrix(inverted, has_bias), pseudo_inverse)
        else:
            ones = inverted.new_ones(len(inverted), int(has_bias))
            factor = factor_matrix(torch.cat([inverted, ones], dim=1), pseudo_inverse)
        return cls(features, inverted, has_bias, factor)

    @property
    def is_exact(self) -> bool:
        """Whether any change of the output can be had, and is had exactly."""
        return self.factor.is_exact and self.inverted is self.features

    def solve(self, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """Change of weight, `(half_width, hidden)`, and bias for a wanted change of the output.

        Args:
            targets: Wanted change, `(num_samples, half_width)`.
        """
        coefficients = self.factor.coefficients(targets)
        bias = coefficients.sum(0) if self.has_bias else None
        return coefficients.T @ self.inverted, bias

    def fitted(self, targets: Tensor) -> Tensor:
        """Change of the output that `solve` achieves to first order, `(num_samples, half_width)`.

        Args:
            targets: Wanted change, `(num_samples, half_width)`.
        """
        if self.inverted is self.features:
            return self.factor.fitted(targets)
        weight, bias = self.solve(targets)
        return torch.nn.functional.linear(self.features, weight, bias)


def gram_matrix(features: Tensor, has_bias: bool) -> Tensor:
    """Gram matrix of features and, with a bias, of a column of ones.

    Args:
        features: `(num_samples, hidden)`.
        has_bias: Whether there is the column.

    Returns:
        float64 `(num_samples, num_samples)`.
    """
    num_samples = len(features)
    gram = torch.full(
        (num_samples, num_samples), float(has_bias), dtype=torch.float64, device=features.device
    )
    for start in range(0, features.shape[1], CHUNK):
        chunk = features[:, start : start + CHUNK].double()
        gram.addmm_(chunk, chunk.T)
    return gram
