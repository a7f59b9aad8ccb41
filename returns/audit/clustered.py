"""Figures of weighted events with standard errors that allow for dependent events.

Events of one customer resemble each other, and so do events of one variant. A standard error is
therefore taken over whole clusters (Obuchowski, 1997, for the area under the ROC curve), once with
customers and once with variants as clusters; the larger one counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

STANDARD_ERRORS = 3.5
"""How far beyond a margin a figure must lie to count; by chance, one column in 4,000 does."""


@dataclass(frozen=True)
class ClusteredEstimate:
    """A figure with its standard error over clusters of events.

    Attributes:
        value: The figure; NaN where it is not defined.
        error: Its standard error.
    """

    value: float
    error: float

    @property
    def low(self) -> float:
        """What the figure exceeds beyond chance; NaN where it is not defined."""
        return self.value - STANDARD_ERRORS * self.error

    def __sub__(self, other: "ClusteredEstimate") -> "ClusteredEstimate":
        """Difference of two figures of different events."""
        return ClusteredEstimate(self.value - other.value, float(np.hypot(self.error, other.error)))


UNDEFINED = ClusteredEstimate(float("nan"), float("nan"))


def clustered_auc(
    scores: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    clusters: Iterable[np.ndarray],
) -> ClusteredEstimate:
    """Area under the ROC curve of a score, ties counting half.

    Args:
        scores: One number per event, `(num_events,)`, none unknown.
        labels: 1 returned, 0 kept, `(num_events,)`.
        weights: Weight of each event, `(num_events,)`.
        clusters: Cluster of each event, int64 `(num_events,)`, in each way of clustering.

    Returns:
        The area and its error; undefined without events of both labels.
    """
    _, place = np.unique(scores, return_inverse=True)
    positives = np.bincount(place, weights * (labels == 1))
    negatives = np.bincount(place, weights * (labels == 0))
    all_positives, all_negatives = positives.sum(), negatives.sum()
    if all_positives == 0 or all_negatives == 0:
        return UNDEFINED
    negatives_below = (np.cumsum(negatives) - negatives / 2) / all_negatives
    positives_above = 1 - (np.cumsum(positives) - positives / 2) / all_positives
    area = float((positives * negatives_below).sum() / all_positives)
    influence = weights * np.where(
        labels == 1,
        (negatives_below[place] - area) / all_positives,
        (positives_above[place] - area) / all_negatives,
    )
    return ClusteredEstimate(area, _clustered_error(influence, clusters))


def rate_difference(
    labels: np.ndarray,
    chosen: np.ndarray,
    weights: np.ndarray,
    clusters: Iterable[np.ndarray],
) -> ClusteredEstimate:
    """Return rate of chosen events less that of the others.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        chosen: Mask of the chosen events, bool `(num_events,)`.
        weights: Weight of each event, `(num_events,)`.
        clusters: Cluster of each event, int64 `(num_events,)`, in each way of clustering.

    Returns:
        The difference and its error; undefined where all events are chosen, or none.
    """
    of_chosen, of_others = weights * chosen, weights * ~chosen
    if of_chosen.sum() == 0 or of_others.sum() == 0:
        return UNDEFINED
    rate, other_rate = np.average(labels, weights=of_chosen), np.average(labels, weights=of_others)
    influence = of_chosen * (labels - rate) / of_chosen.sum()
    influence -= of_others * (labels - other_rate) / of_others.sum()
    return ClusteredEstimate(float(rate - other_rate), _clustered_error(influence, clusters))


def _clustered_error(influence: np.ndarray, clusters: Iterable[np.ndarray]) -> float:
    sums = (np.bincount(cluster, influence) for cluster in clusters)
    return max(float(np.sqrt(np.square(each).sum())) for each in sums)
