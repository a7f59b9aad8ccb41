"""A uniform draw of labelled events that share a key, where no date says which are the latest."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from pandas.util import hash_array

from returns.history_keys import num_codes
from returns.neighbourhood import NeighbourLists, offsets_of, ranges
from returns.timeline import places

TARGETS_AT_ONCE = 1 << 14
"""Targets that are drawn for at a time: few enough for all that is drawn to stay in the cache."""


@dataclass(frozen=True)
class Circles:
    """The events of each key in a random circular order.

    Attributes:
        events: Sorted by key, then lot, int32 `(num_sorted,)`.
        ascending: Key and lot of each in one number, int64 `(num_sorted,)`.
        pair: Customer-variant pair of each, int64 `(num_sorted,)`.
        first: Where each key begins, and where the last one ends, int64 `(num_keys + 1,)`.
        size: A number above all lots.
    """

    events: np.ndarray
    ascending: np.ndarray
    pair: np.ndarray
    first: np.ndarray
    size: int

    @classmethod
    def of(
        cls, key: np.ndarray, lot: np.ndarray, size: int, among: np.ndarray, pair: np.ndarray
    ) -> Self:
        """Sort the events.

        Args:
            key: Code of each event, int64 `(num_events,)`, -1 unknown.
            lot: What orders them, distinct for distinct events, int64 `(num_events,)`.
            size: A number above all lots.
            among: Events that may be drawn, bool `(num_events,)`.
            pair: Customer-variant pair of each event, int64 `(num_events,)`.
        """
        events = np.flatnonzero(among & (key >= 0))
        first = offsets_of(np.bincount(key[events], minlength=num_codes(key)))
        code = key[events] * size + lot[events]
        order = np.argsort(code)
        events = events[order]
        return cls(events.astype(np.int32), code[order], pair[events], first, size)

    def draw(
        self, key: np.ndarray, place: np.ndarray, pair: np.ndarray, fan_out: int
    ) -> NeighbourLists:
        """Each target takes the events of its key that follow its place in their circle.

        Args:
            key: Of each target, int64 `(num_targets,)`, -1 unknown; else one of the events'.
            place: Of each target, below `size`, int64 `(num_targets,)`.
            pair: Customer-variant pair of each target, int64 `(num_targets,)`; its own pair's
                events it does not take.
            fan_out: Most events of a target.
        """
        cuts = range(TARGETS_AT_ONCE, len(key), TARGETS_AT_ONCE)
        keys, places, pairs = (np.split(each, cuts) for each in (key, place, pair))
        parts = zip(keys, places, pairs, strict=True)
        drawn = [self._draw(*part, fan_out) for part in parts]
        lengths, events = (np.concatenate(each) for each in zip(*drawn, strict=True))
        return NeighbourLists(offsets_of(lengths), events)

    def _draw(
        self, key: np.ndarray, place: np.ndarray, pair: np.ndarray, fan_out: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Number of events of each target, and the events."""
        # An unknown key, -1, takes the last bound.
        start = self.first[key]
        number = np.where(key >= 0, self.first[key + 1] - start, 0)
        follower = places(self.ascending, key * self.size + place) - start
        lengths = np.minimum(number, fan_out + 1)  # one more: a target may meet itself
        position = ranges(follower, lengths)
        circle = np.repeat(number, lengths)
        position -= np.where(position >= circle, circle, 0)
        position += np.repeat(start, lengths)
        admitted = self.pair.take(position) != np.repeat(pair, lengths)
        owner = np.repeat(np.arange(len(key)), lengths)
        before = offsets_of(np.bincount(owner[admitted], minlength=len(key)))[:-1]
        admitted &= np.cumsum(admitted) - np.repeat(before, lengths) <= fan_out
        taken = np.bincount(owner[admitted], minlength=len(key))
        return taken, self.events.take(position[admitted])


def random_lots(among: np.ndarray) -> tuple[np.ndarray, int]:
    """A random order of some events that depends on nothing but their number.

    Args:
        among: bool `(num_events,)`.

    Returns:
        Lot of each, int64 `(num_events,)`, 0 for the others, and a number above all lots.
    """
    number = int(np.count_nonzero(among))
    lots = np.zeros(len(among), dtype=np.int64)
    lots[among] = np.random.default_rng(0).permutation(number)
    return lots, max(number, 1)


def places_of_keys(
    customer_key: pa.ChunkedArray, variant_key: pa.ChunkedArray, size: int
) -> np.ndarray:
    """Places for order lines: a hash of their keys, whatever else is scored with them.

    Args:
        customer_key: The source's own key, `(num_targets,)`.
        variant_key: Likewise.
        size: A number above all places.

    Returns:
        int64 `(num_targets,)`.
    """
    customer, variant = (
        hash_array(key.to_numpy(zero_copy_only=False)) for key in (customer_key, variant_key)
    )
    mixed = customer * np.uint64(0x9E3779B97F4A7C15) ^ variant
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(32)
    return (mixed % np.uint64(size)).astype(np.int64)


def pairs_of(customer: np.ndarray, variant: np.ndarray, num_variants: int) -> np.ndarray:
    """Customer-variant pair of each event, int64 `(num_events,)`, -1 where either is unknown.

    Args:
        customer: int64 `(num_events,)`, -1 unknown.
        variant: int64 `(num_events,)`, -1 unknown.
        num_variants: A number above all variants.
    """
    return np.where((customer >= 0) & (variant >= 0), customer * num_variants + variant, -1)
