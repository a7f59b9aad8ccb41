"""Draws that several parts of the generator share."""

import numpy as np


def draw_levels(shares: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Draw levels with probabilities proportional to `shares`.

    Args:
        shares: Non-negative, not all 0, shape `(num_levels,)`.
        number: How many to draw.
        generator: Source of randomness.

    Returns:
        Positions in `shares`, int8 `(number,)`.
    """
    bounds = np.cumsum(shares / shares.sum())[:-1].astype(np.float32)
    chance = generator.random(number, np.float32)
    return np.searchsorted(bounds, chance, side="right").astype(np.int8)


def logistic(logit: np.ndarray) -> np.ndarray:
    """The probability of a logit, elementwise, in the dtype of `logit`."""
    return np.asarray(1 / (1 + np.exp(-logit)))
