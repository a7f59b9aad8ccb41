"""The true return probability of a released event, exact under the release's selection.

A customer is released only if something came back in the half. That selects on the outcome: of a
customer with few order lines, a released event is likelier to be a return than the same piece was
when it was ordered. The stored truth is the probability *given* that selection, so that it is
calibrated on the events there are, and no model that sees only what was known before the order
can have a lower expected cross-entropy.

Let `p` be the probability that the piece comes back, given customer, variant and half, and `L` the
customer's expected order lines in the half. Lines are a Poisson process, and sampling a line as an
event does not look at any outcome; so, given a sampled line, the customer's other lines are still
a Poisson process of mean `L` (Slivnyak-Mecke). Those with a return are a Poisson number of mean
`L m`, where `m` is the probability that a line has a return, averaged over what is on sale. With
`k` more pieces in the line of the event itself (0 or 1, equal `p`),

    P(released | kept) = 1 - exp(-L m) (1 - p)^k        P(released | returned) = 1
    P(returned | released) = p / (p + (1 - p) P(released | kept))

It knows the latent effects of customer and variant and the expected activity, but neither how many
lines there were nor any other outcome. Given the selection, the other outcomes of the same customer
and half do tell a little: where none came back, this one did. Missing node rows change nothing for
customers: they depend on the latent quantities alone, so the truth is calibrated on events with and
without one. For variants they tell a little more than the truth knows, since a variant that never
came back has no row. The aggregates contain the event's own outcome: a model that reads them may
well score better than this truth, and so shows the leak.
"""

import numpy as np

from data.synthesis.draws import logistic

EFFECT_BINS = 2_000
PROPENSITY_KNOTS = 2_000


def released_probability(
    probability: np.ndarray, paired: np.ndarray, lines_with_return: np.ndarray
) -> np.ndarray:
    """Probability that a released event is a return.

    Args:
        probability: Of being returned, before any selection, `(num_events,)`.
        paired: Whether the order line has a second piece, bool `(num_events,)`.
        lines_with_return: Expected number of the customer's other lines with a return (`L m`
            above), `(num_events,)`.

    Returns:
        float64 `(num_events,)`.
    """
    returned = probability.astype(np.float64)
    kept = 1 - returned
    nothing_elsewhere = np.exp(-lines_with_return.astype(np.float64)) * np.where(paired, kept, 1)
    return np.asarray(returned / (returned + kept * (1 - nothing_elsewhere)))


def line_return_probability(
    propensity: np.ndarray, effect: np.ndarray, popularity: np.ndarray, second_piece_share: float
) -> np.ndarray:
    """Probability that an order line of a customer has a return, averaged over what is on sale.

    The average is taken over the weighted histogram of effects, at knots of the propensity, and
    interpolated linearly between them; the error is below 1e-4.

    Args:
        propensity: Logit of each customer for a variant of effect 0, `(num_customers,)`.
        effect: Logit effect of each variant, `(num_variants,)`.
        popularity: Probability of each variant, `(num_variants,)`, sum 1.
        second_piece_share: Share of lines with a second piece.

    Returns:
        float64 `(num_customers,)`.
    """
    weight, edges = np.histogram(effect, bins=EFFECT_BINS, weights=popularity)
    centre = (edges[:-1] + edges[1:]) / 2
    knots = np.linspace(propensity.min(), propensity.max(), PROPENSITY_KNOTS)
    piece = logistic(knots[:, None] + centre)
    line = piece * (1 + second_piece_share * (1 - piece))
    return np.asarray(np.interp(propensity, knots, line @ weight))
