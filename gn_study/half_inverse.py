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
        half: The half-layer.
        features: `(num_rows, hidden)`.
        inverted: The same with noise, where the pseudo-inverse asks for it.
        factor: Of `A`.
    """

    half: HalfLayer
    features: Tensor
    inverted: Tensor
    factor: Factor

    @property
    def is_exact(self) -> bool:
        """Whether any change of the output can be had, and is had exactly."""
        return self.factor.is_exact and self.inverted is self.features

    def solve(self, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """Change of weight and bias, of their shapes, for a wanted change of the output.

        Args:
            targets: Wanted change, `(num_samples, half_width)`.
        """
        coefficients = self.factor.coefficients(self.half.to_rows(targets))
        bias = None if self.half.bias is None else coefficients.sum(0)
        return coefficients.T @ self.inverted, bias

    def fitted(self, targets: Tensor) -> Tensor:
        """Change of the output that `solve` achieves to first order, `(num_samples, half_width)`.

        Args:
            targets: Wanted change, `(num_samples, half_width)`.
        """
        if self.inverted is self.features:
            return self.half.from_rows(self.factor.fitted(self.half.to_rows(targets)))
        return self.half.combine_with(self.features, *self.solve(targets))


def invert_features(
    halves: Sequence[tuple[HalfLayer, Tensor]],
    pseudo_inverse: PseudoInverse,
    generator: torch.Generator | None = None,
    kept: KeptFactor | None = None,
) -> list[HalfInverse]:
    """Decompose features of several half-layers, side by side where that is faster.

    Args:
        halves: Half-layers with their features, `(num_rows, hidden)`.
        pseudo_inverse: How they are inverted.
        generator: Of noise; None for torch's own.
        kept: What was last decomposed for the first of them.
    """
    seen = [(half, _with_noise(features, pseudo_inverse, generator)) for half, features in halves]
    if pseudo_inverse.route == "svd":
        factors = [factor_matrix(_with_ones(*pair), pseudo_inverse) for pair in seen]
    else:
        grams = [gram_matrix(features, half.bias is not None) for half, features in seen]
        factors = _side_by_side(grams, [kept, *[None] * (len(grams) - 1)], pseudo_inverse)
    return [
        HalfInverse(half, features, inverted, factor)
        for (half, features), (_, inverted), factor in zip(halves, seen, factors, strict=True)
    ]


def _with_noise(
    features: Tensor, pseudo_inverse: PseudoInverse, generator: torch.Generator | None
) -> Tensor:
    if pseudo_inverse.kind != "noise":
        return features
    noise = torch.randn(features.shape, generator=generator, dtype=features.dtype)
    return features + pseudo_inverse.noise_std * features.std() * noise.to(features.device)


def _with_ones(half: HalfLayer, features: Tensor) -> Tensor:
    if half.bias is None:
        return features
    return torch.cat([features, features.new_ones(len(features), 1)], dim=1)


def _side_by_side(
    grams: Sequence[Tensor], keeping: Sequence[KeptFactor | None], pseudo_inverse: PseudoInverse
) -> list[Factor]:
    def factor(gram: Tensor, kept: KeptFactor | None) -> Factor:
        if kept is None:
            return factor_gram(gram, pseudo_inverse)
        return kept.factor(gram, pseudo_inverse)

    num_threads = torch.get_num_threads()
    is_few = len(grams) == 1 or len(grams[0]) < FEWEST_ROWS
    if is_few or num_threads == 1 or grams[0].device.type != "cpu":
        return list(map(factor, grams, keeping))

    # One eigendecomposition gains less by a second thread than a second one does. Each thread keeps
    # memory of its own, so this one takes its share of the work.
    own = max(1, num_threads // len(grams))
    try:
        torch.set_num_threads(own)
        with ThreadPoolExecutor(
            len(grams) - 1, initializer=torch.set_num_threads, initargs=(own,)
        ) as pool:
            others = pool.map(factor, grams[1:], keeping[1:])
            return [factor(grams[0], keeping[0]), *others]
    finally:
        # Set in the pool for its own threads, torch would hand it on to every later thread.
        torch.set_num_threads(num_threads)


def gram_matrix(features: Tensor, has_bias: bool) -> Tensor:
    """Gram matrix of features and, with a bias, of a column of ones.

    Args:
        features: `(num_rows, hidden)`.
        has_bias: Whether there is the column.

    Returns:
        float64 `(num_rows, num_rows)`.
    """
    num_rows = len(features)
    gram = torch.full(
        (num_rows, num_rows), float(has_bias), dtype=torch.float64, device=features.device
    )
    for start in range(0, features.shape[1], COLUMNS):
        chunk = features[:, start : start + COLUMNS].double()
        for first in range(0, num_rows, ROWS):
            last = first + ROWS
            gram[first:last, :last].addmm_(chunk[first:last], chunk[:last].T)
    return gram.tril() + gram.tril(-1).T
