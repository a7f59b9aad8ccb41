"""Why things come back: one of the release's thirteen reason codes for each return."""

import numpy as np

from data.synthesis.draws import draw_levels, logistic
from data.synthesis.parameters import REASON_K, ReasonParameters


def draw_favourites(
    parameters: ReasonParameters, number: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw a favourite reason, other than K, for each of `number` customers or products.

    Returns:
        Position in `REASONS`, int8 `(number,)`.
    """
    return draw_levels(_shares_without_k(parameters), number, generator)


def draw_reasons(
    parameters: ReasonParameters,
    favourite_of_customer: np.ndarray,
    favourite_of_product: np.ndarray,
    effect: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Draw the reason of each return.

    Reason K is the likelier the less returned the variant is. Any other reason is the customer's
    favourite, the product's favourite, or one at large.

    Args:
        parameters: Constants.
        favourite_of_customer: Of each return's customer, int8 `(num_returns,)`.
        favourite_of_product: Of each return's product, int8 `(num_returns,)`.
        effect: Logit effect of each return's variant, float32 `(num_returns,)`.
        generator: Source of randomness.

    Returns:
        Position in `REASONS`, int8 `(num_returns,)`.
    """
    number = len(effect)
    whose = generator.random(number, np.float32)
    reason = np.select(
        [whose < parameters.of_customer, whose > 1 - parameters.of_product],
        [favourite_of_customer, favourite_of_product],
        draw_levels(_shares_without_k(parameters), number, generator),
    )
    share = parameters.shares[REASON_K] / sum(parameters.shares)
    logit = np.float32(np.log(share / (1 - share))) - np.float32(parameters.k_of_effect) * effect
    reason[generator.random(number, np.float32) < logistic(logit)] = REASON_K
    return reason


def _shares_without_k(parameters: ReasonParameters) -> np.ndarray:
    shares = np.array(parameters.shares)
    shares[REASON_K] = 0
    return shares
