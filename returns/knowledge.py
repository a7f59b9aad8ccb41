"""Which labels may be known of the past when an event is scored.

Dated data: labels of strictly earlier orders. Undated data: labels of other folds for a training
event (cross-fitting), of the training part for everything else. Never a label of the split that
is being scored.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.dataset import Dataset

NUM_FOLDS = 5
"""Folds of the cross-fitting of undated training events."""


SHARE_TAKEN_FOR_NEW = 0.75
"""Share of the customers of undated training events that are taken for new ones; about as many of
the events that are to be scored come from new customers."""


@dataclass(frozen=True)
class EventArrays:
    """The columns of the events table that time, labels and identity live in, as arrays.

    Attributes:
        customer: Customer index, int64 `(num_events,)`.
        variant: Variant index, int64 `(num_events,)`.
        returned: 1 returned, 0 kept, -1 unknown; int8 `(num_events,)`.
        day: Days since 1970-01-01 of the order, int64 `(num_events,)`; None if undated.
    """

    customer: np.ndarray
    variant: np.ndarray
    returned: np.ndarray
    day: np.ndarray | None

    @classmethod
    def of(cls, dataset: Dataset) -> "EventArrays":
        """The arrays of a dataset's events."""
        events = dataset.events
        day = None
        if dataset.is_dated:
            day = days(events["time"])
        return cls(
            customer=events["customer"].to_numpy(),
            variant=events["variant"].to_numpy(),
            returned=pc.fill_null(events["returned"], -1).to_numpy(),
            day=day,
        )


def days(dates: pa.ChunkedArray) -> np.ndarray:
    """Days since 1970-01-01, int64; dates must not be null."""
    return np.asarray(dates.cast(pa.int32()).to_numpy(), dtype=np.int64)


LEARNING = "train and validation"
"""Both parts together: what a model learns from once validation has chosen all there is to."""

PARTS = {"train": ("train",), "validation": ("validation",), "test": ("test",)} | {
    LEARNING: ("train", "validation")
}
"""Splits of the dataset that make up a set of events."""

INFORMED_BY = {
    "train": ("train",),
    "validation": ("train",),
    "test": ("train", "validation"),
    LEARNING: ("train", "validation"),
}
"""Splits whose labels may inform a set of events."""

SELF_INFORMED = ("train", LEARNING)
"""Sets of events that learn from each other, by date or by fold."""


def known_labels(dataset: Dataset, split: str) -> np.ndarray:
    """Events whose label may inform events of a set, bool `(num_events,)`.

    Who is scored decides: training events learn from each other (by date or by fold), validation
    events from training events, test events from both. Within the mask, `returns.history` and
    `returns.graph` still hold back what is not strictly earlier, or of the same fold.

    Args:
        dataset: All events.
        split: One of `PARTS`.
    """
    labelled = pc.is_valid(dataset.events["returned"]).to_numpy()
    return np.asarray(dataset.split_mask(*INFORMED_BY[split]) & labelled)


def taken_for_new(customer: np.ndarray) -> np.ndarray:
    """Customers of undated training events who are treated as if nothing were known of them.

    A training customer without another event in the period is no picture of a new customer: who
    bought once and appears in the data at all has mostly returned. So that the models learn what
    new customers do, most customers, drawn by a hash, lend their past to none of their own events.

    Args:
        customer: Customer index, int64 `(num_events,)`.

    Returns:
        bool `(num_events,)`.
    """
    mixed = customer.astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(32)
    return np.asarray(mixed % np.uint64(100) < np.uint64(round(100 * SHARE_TAKEN_FOR_NEW)))


def fold_of(customer: np.ndarray, variant: np.ndarray) -> np.ndarray:
    """Fold of each event for cross-fitting, int64 in `0 .. NUM_FOLDS - 1`.

    A hash of the (customer, variant) pair, so that repeated rows of a pair share a fold and none
    can tell another's label.

    Args:
        customer: Customer index, int64 `(num_events,)`.
        variant: Variant index, int64 `(num_events,)`.
    """
    mixed = customer.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= variant.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return (mixed % np.uint64(NUM_FOLDS)).astype(np.int64)
