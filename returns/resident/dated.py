"""Counts and sums over the remembered orders of dated data, ready to be asked up to any day."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from data.dataset import Dataset
from returns.comparisons import OUTCOMES, levels_as_numbers
from returns.history_keys import HistoryKeys, num_codes, quantity_values
from returns.knowledge import EventArrays
from returns.resident.sums import KeySums
from returns.timeline import KeyOrder

ALL = "all"
"""Key that all events share."""


@dataclass(frozen=True)
class KeyLabels:
    """The labelled orders of one key.

    Attributes:
        order: Where each level's lie among all, sorted by level, then day.
        returned: Number of returns before each of them, int32 `(num_events + 1,)`.
    """

    order: KeyOrder
    returned: np.ndarray


@dataclass(frozen=True)
class DatedMemory:
    """All that the history of remembered orders may be asked for.

    Attributes:
        orders: Of all orders, by key, pairs of keys and `ALL` among them.
        labels: Of the labelled ones, by the same keys; where these are all, in the same order.
        quantities: Sums of each numeric order column by party and column.
        numbers: Sums of an attribute's numbers over a customer's orders, by attribute and outcome.
        sizes: Number of codes of each single key and band.
    """

    orders: dict[str, KeyOrder]
    labels: dict[str, KeyLabels]
    quantities: dict[tuple[str, str], KeySums]
    numbers: dict[tuple[str, str], KeySums]
    sizes: dict[str, int]

    @classmethod
    def of(cls, past: Dataset, keys: HistoryKeys, single: dict[str, np.ndarray]) -> Self:
        """Sort and sum up.

        Args:
            past: The remembered orders, all of them dated.
            keys: Keys of the history.
            single: Their codes by single key.
        """
        arrays = EventArrays.of(past)
        day = np.asarray(arrays.day)
        quantities = quantity_values(past)
        parts = single | keys.bands(quantities)
        sizes = {name: num_codes(code) for name, code in parts.items()}
        codes = single | keys.pairs_of(parts, sizes) | {ALL: np.zeros(len(day), dtype=np.int64)}
        labelled = arrays.returned >= 0
        are_all = bool(labelled.all())
        orders, labels = {}, {}
        for name, code in codes.items():
            events, order = KeyOrder.sort(code, day, None if are_all else labelled)
            returned = np.cumsum(arrays.returned[events], dtype=np.int32)
            labels[name] = KeyLabels(order, np.append(np.int32(0), returned))
            orders[name] = order if are_all else KeyOrder.of(code, day)
        sums = {
            (party, name): KeySums.of(single[party], day, values, ~np.isnan(values))
            for party in keys.parties
            for name, values in quantities.items()
        }
        numbers = {}
        for name, number in levels_as_numbers(past, keys.numbered).items():
            for outcome, label in OUTCOMES.items():
                heard = (arrays.returned == label) & ~np.isnan(number)
                numbers[name, outcome] = KeySums.of(arrays.customer, day, number, heard)
        return cls(orders, labels, sums, numbers, sizes)
