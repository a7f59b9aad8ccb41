"""A uniform draw of labelled events that share a key, where no date says which are the latest."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from pandas.util import hash_array

from returns.neighbourhood import NeighbourLists, offsets_of, ranges


@dataclass(frozen=True)
class Circles:
    """The events of each key in a random circular order.

    Attributes:
        events: Sorted by key, then lot, int64 `(num_sorted,)`.
        ascending: Key and lot of each in one number, int64 `(num_sorted,)`.
        size: A number above all lots.
    """

    events: np.ndarray
    ascending: np.ndarray
    size: int

    @classmethod
    def of(cls, key: np.ndarray, lot: np.ndarray, size: int, among: np.ndarray) -> Self:
        """Sort the events.

        Args:
            key: Code of each event, int64 `(num_events,)`, -1 unknown.
            lot: What orders them, distinct for distinct events, int64 `(num_events,)`.
            size: A number above all lots.
            among: Events that may be drawn, bool `(num_events,)`.
        """
        events = np.flatnonzero(among & (key >= 0))
        code = key[events] * size + lot[events]
        order = np.argsort(code)
        return cls(events[order], code[order], size)

    def draw(
        self,
        key: np.ndarray,
        place: np.ndarray,
        pair: np.ndarray,
        pair_of_event: np.ndarray,
        fan_out: int,
    ) -> NeighbourLists:
        """Each target takes the events of its key that follow its place in their circle.

        Args:
            key: Of each target, int64 `(num_targets,)`, -1 unknown.
            place: Of each target, below `size`, int64 `(num_targets,)`.
            pair: Customer-variant pair of each target, int64 `(num_targets,)`; its own pair's
                events it does not take.
            pair_of_event: Pair of each event, int64 `(num_events,)`.
            fan_out: Most events of a target.
        """
        start = np.searchsorted(self.ascending, key * self.size)
        end = np.searchsorted(self.ascending, (key + 1) * self.size)
        number = np.where(key >= 0, end - start, 0)
        first = np.searchsorted(self.ascending, key * self.size + place) - start
        lengths = np.minimum(number, fan_out + 1)  # one more: a target may meet itself
        owner = np.repeat(np.arange(len(key)), lengths)
        step = ranges(np.zeros_like(lengths), lengths)
        position = start[owner] + (first[owner] + step) % np.maximum(number, 1)[owner]
        neighbour = self.events[position]
        admitted = pair_of_event[neighbour] != pair[owner]
        rank = np.cumsum(admitted) - 1
        before = offsets_of(
            np.bincount(owner, weights=admitted, minlength=len(key)).astype(np.int64)
        )
        admitted &= rank - before[owner] < fan_out
        lengths = np.bincount(owner[admitted], minlength=len(key))
        return NeighbourLists(offsets_of(lengths), neighbour[admitted].astype(np.int32))


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
