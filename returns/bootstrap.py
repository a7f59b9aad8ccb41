"""Uncertainty of metrics by resampling customers.

Events of one customer are alike, so whole customers are drawn with replacement, as many as there
are (the cluster bootstrap). A replicate is a vector of how often each customer was drawn, and every
sum that a metric needs is linear in it: one product of a sparse matrix `(sums, customers)` with
the matrix of draws `(customers, replicates)` gives the sums of all groups and replicates.

The ranking metrics of replicates are computed on about a thousand score bins of equal mass.
"""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from returns.metrics import EventSums, ScoreBins, ScoredEvents

SCORE_BINS = 1000
"""Score bins of replicates."""

REPLICATES_AT_ONCE = 20
"""Replicates per matrix product; bounds the memory of the draws."""


def customer_draws(num_customers: int, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often each customer is drawn in each replicate.

    Args:
        num_customers: Number of customers, drawn with replacement and equal chance.
        replicates: Number of replicates in all.
        seed: The same seed gives the same draws, so that models can be compared in pairs.

    Yields:
        float64 `(num_customers, at most REPLICATES_AT_ONCE)`.
    """
    random = np.random.default_rng(seed)
    for start in range(0, replicates, REPLICATES_AT_ONCE):
        draws = np.empty((num_customers, min(REPLICATES_AT_ONCE, replicates - start)))
        for replicate in range(draws.shape[1]):
            drawn = random.integers(num_customers, size=num_customers)
            draws[:, replicate] = np.bincount(drawn, minlength=num_customers)
        yield draws


def replicate_sums(events: ScoredEvents) -> EventSums:
    """What each event adds to which sum, on the score bins of replicates."""
    bins = ScoreBins.coarse(events.probabilities, events.threshold, SCORE_BINS)
    return EventSums.of(events, bins)


class GroupReplicates:
    """Metrics of bootstrap replicates for disjoint groups of events."""

    def __init__(self, sums: EventSums, customer: np.ndarray, group: np.ndarray) -> None:
        """Lay out the sums.

        Args:
            sums: What each event adds to which sum, as `replicate_sums` gives it.
            customer: Contiguous customer number of each event, int64 `(num_events,)`.
            group: Contiguous group number of each event, -1 for none, int64 `(num_events,)`.
        """
        self._sums = sums
        self._num_groups = int(group.max(initial=-1)) + 1
        group_of_entry = group[sums.event]
        grouped = group_of_entry >= 0
        row = group_of_entry[grouped] * sums.number + sums.sum_index[grouped]
        column = customer[sums.event[grouped]]
        shape = (self._num_groups * sums.number, int(customer.max(initial=-1)) + 1)
        self._matrix = sp.csr_array((sums.value[grouped], (row, column)), shape=shape)

    def metrics(self, draws: np.ndarray) -> dict[str, np.ndarray]:
        """Every metric of every group and replicate, `(num_groups, num_replicates)`.

        Args:
            draws: How often each customer is drawn, float64 `(num_customers, num_replicates)`.
        """
        shape = (self._num_groups, self._sums.number, draws.shape[1])
        sums = (self._matrix @ draws).reshape(shape)
        return self._sums.split(sums.swapaxes(1, 2)).metrics()
