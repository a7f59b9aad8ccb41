"""Inverting the trained part of a half-layer on one batch."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from gn_study.coupling import HalfLayer
from gn_study.factors import Factor, KeptFactor, factor_gram, factor_matrix
from gn_study.pseudo_inverse import PseudoInverse

COLUMNS, ROWS = 1024, 128
"""How many columns of features are converted to float64 at once, and how many rows of a Gram matrix
are computed at once: only those parts that reach below its diagonal."""
FEWEST_ROWS = 256
"""Of a Gram matrix for which a thread of its own pays."""


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


def invert_features(
    halves: Sequence[tuple[HalfLayer, Tensor]],
    pseudo_inverse: PseudoInverse,
    generator: torch.Generator | None = None,
    kept: KeptFactor | None = None,
) -> list[HalfInverse]:
    """Decompose features of several half-layers, side by side where that is faster.

    Args:
        halves: Half-layers with their features, `(num_samples, hidden)`.
        pseudo_inverse: How they are inverted.
        generator: Of noise; None for torch's own.
        kept: What was last decomposed for the first of them.
    """
    inverted = []
    for _, features in halves:
        if pseudo_inverse.kind == "noise":
            noise = torch.randn(features.shape, generator=generator, dtype=features.dtype)
            scale = pseudo_inverse.noise_std * features.std()
            inverted.append(features + scale * noise.to(features.device))
        else:
            inverted.append(features)
    biases = [half.bias is not None for half, _ in halves]
    factors: list[Factor]
    if pseudo_inverse.route == "svd":
        factors = []
        for features, has_bias in zip(inverted, biases, strict=True):
            ones = features.new_ones(len(features), int(has_bias))
            factors.append(factor_matrix(torch.cat([features, ones], dim=1), pseudo_inverse))
    else:
        grams = [gram_matrix(*pair) for pair in zip(inverted, biases, strict=True)]
        keeping = [kept, *[None] * (len(grams) - 1)]
        factors = _side_by_side(grams, keeping, pseudo_inverse)
    return [
        HalfInverse(features, seen, has_bias, factor)
        for (_, features), seen, has_bias, factor in zip(
            halves, inverted, biases, factors, strict=True
        )
    ]


def _side_by_side(
    grams: Sequence[Tensor], keeping: Sequence[KeptFactor | None], pseudo_inverse: PseudoInverse
) -> list[Factor]:
    def factor(gram: Tensor, kept: KeptFactor | None) -> Factor:
        if kept is None:
            return factor_gram(gram, pseudo_inverse)
        return kept.factor(gram, pseudo_inverse)

    # One eigendecomposition hardly gains by a second thread; two at a time do.
    has_threads = grams[0].device.type == "cpu" and torch.get_num_threads() > 1
    if has_threads and len(grams[0]) >= FEWEST_ROWS:
        with ThreadPoolExecutor(len(grams)) as threads:
            return list(threads.map(factor, grams, keeping))
    return list(map(factor, grams, keeping))


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
    for start in range(0, features.shape[1], COLUMNS):
        chunk = features[:, start : start + COLUMNS].double()
        for first in range(0, num_samples, ROWS):
            last = first + ROWS
            gram[first:last, :last].addmm_(chunk[first:last], chunk[:last].T)
    return gram.tril() + gram.tril(-1).T
