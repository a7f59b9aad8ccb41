"""Counts and sums over the remembered orders of dated data, ready to be asked up to any day."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from data.dataset import Dataset
from returns.comparisons import OUTCOMES, above_mean, levels_as_numbers, relative_to_mean
from returns.history import (
    RECENT,
    RECENT_OF_ALL,
    days_since_first,
    days_since_last,
    earlier_labels,
    earlier_orders,
    latest_labels,
)
from returns.history_keys import HistoryKeys, num_codes, quantity_values
from returns.knowledge import EventArrays
from returns.past import Features
from returns.resident.request import Request
from returns.timeline import KeyOrder, Timeline, running_sums

Bounds = tuple[np.ndarray, np.ndarray]
"""Two positions among sorted events per line, int64 `(num_lines,)` each."""

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
class KeySums:
    """Sums of a quantity over the orders of one key.

    Attributes:
        order: Where each level's lie among those that have the quantity.
        sums: What `returns.timeline.running_sums` gives for them.
    """

    order: KeyOrder
    sums: np.ndarray

    @classmethod
    def of(cls, key: np.ndarray, day: np.ndarray, values: np.ndarray, among: np.ndarray) -> Self:
        """Sort the events and sum up their values.

        Args:
            key: Code of each event, int64 `(num_events,)`, -1 unknown.
            day: int64 `(num_events,)`.
            values: float64 `(num_events,)`.
            among: Events that count, bool `(num_events,)`.
        """
        events, order = KeyOrder.sort(key, day, among)
        return cls(order, running_sums(values[events], order.key()))

    def before(self, key: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number and sum of the values strictly before a day, `(num_asked,)` each."""
        start, end = self.order.before(key, day)
        return end - start, np.where(end > start, self.sums[end], 0.0)


@dataclass(frozen=True)
class DatedMemory:
    """All that the history of remembered orders may be asked for.

    Attributes:
        labels: By key, pairs of keys and `ALL` among them.
        quantities: Sums of each numeric order column by party and column.
        numbers: Sums of an attribute's numbers over a customer's orders, by attribute and outcome.
        sizes: Number of codes of each single key and band.
    """

    labels: dict[str, KeyLabels]
    quantities: dict[tuple[str, str], KeySums]
    numbers: dict[tuple[str, str], KeySums]
    sizes: dict[str, int]

    @classmethod
    def of(cls, past: Dataset, keys: HistoryKeys, single: dict[str, np.ndarray]) -> Self:
        """Sort and sum up.

        Args:
            past: The remembered orders, all of them labelled and dated.
            keys: Keys of the history.
            single: Their codes by single key.
        """
        arrays = EventArrays.of(past)
        day = np.asarray(arrays.day)
        quantities = quantity_values(past)
        parts = single | keys.bands(quantities)
        sizes = {name: num_codes(code) for name, code in parts.items()}
        codes = single | keys.pairs_of(parts, sizes) | {ALL: np.zeros(len(day), dtype=np.int64)}
        labels = {}
        for name, code in codes.items():
            events, order = KeyOrder.sort(code, day)
            returned = np.cumsum(arrays.returned[events], dtype=np.int32)
            labels[name] = KeyLabels(order, np.append(np.int32(0), returned))
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
        return cls(labels, sums, numbers, sizes)


class RequestPast:
    """The past of a request's order lines: what is remembered, then the request's earlier days.

    As `returns.memory.Memory.with_new` has it: what is remembered counts up to the first day of the
    request; its own lines of earlier days count as orders whose outcome is not known.
    """

    def __init__(self, memory: DatedMemory, request: Request, label_delay_days: int) -> None:
        """Look up the request's keys.

        Args:
            memory: What is remembered.
            request: The order lines.
            label_delay_days: Days after the order until its label is known.
        """
        self._memory, self._request, self._keys = memory, request, request.keys
        self._day = np.asarray(request.day)
        self._first_day = np.full_like(self._day, self._day.min(initial=np.iinfo(np.int64).max))
        self._label_day = np.minimum(self._first_day, self._day - label_delay_days)
        # Mostly all lines are of one day, and labels are known at once.
        self._has_several_days = bool((self._day > self._first_day).any())
        self._labels_lag = bool((self._label_day < self._first_day).any())
        parts = request.known | self._keys.bands(self._values)
        everything = {ALL: np.zeros(len(self._day), dtype=np.int64)}
        self._known = request.known | self._keys.pairs_of(parts, memory.sizes) | everything
        self._bounds: dict[str, Bounds] = {}

    @property
    def day(self) -> np.ndarray:
        """Day of each line, int64 `(num_lines,)`."""
        return self._day

    def history(self) -> Features:
        """Strictly earlier orders and labels of every key."""
        features: Features = {}
        for name in self._memory.labels:
            if name != ALL:
                count, _, last = self._orders(name)
                features |= earlier_orders(name, count)
                features |= earlier_labels(name, *self._labels(name))
                features |= days_since_last(name, self._day - last)
        return features

    def recent(self) -> Features:
        """The latest of them."""
        features: Features = {}
        for name in (*self._keys.parties, ALL):
            for most in RECENT_OF_ALL if name == ALL else RECENT:
                features |= latest_labels(name, most, *self._labels(name, most))
            if name != ALL:
                _, first, _ = self._orders(name)
                features |= days_since_first(name, self._day - first)
        return features

    def relative_values(self) -> Features:
        """Quantities against earlier ones."""
        features: Features = {}
        for (party, name), sums in self._memory.quantities.items():
            count, total = sums.before(self._known[party], self._first_day)
            value = self._values[name]
            if self._has_several_days:
                own = Timeline.of(
                    self._request.own[party], self._day, self._lines, ~np.isnan(value)
                )
                count, total = count + own.count, total + own.sum(value)
            features |= relative_to_mean(name, party, value, count, total)
        return features

    def numbers(self) -> Features:
        """Sizes and the like against the customer's earlier ones."""
        features: Features = {}
        for name in self._keys.numbered:
            number = self._request.quantities[name]
            features[f"{name}_number"] = number.astype(np.float32)
            for outcome in OUTCOMES:
                sums = self._memory.numbers[name, outcome]
                count, total = sums.before(self._known["customer"], self._label_day)
                features |= above_mean(name, outcome, number, count, total)
        return features

    @property
    def _lines(self) -> np.ndarray:
        return np.arange(len(self._day))

    @property
    def _values(self) -> dict[str, np.ndarray]:
        """Numeric columns of the lines."""
        return {name: self._request.quantities[name] for name in self._keys.quantities}

    @cached_property
    def _own_codes(self) -> dict[str, np.ndarray]:
        return {**self._request.own, **self._keys.crossed(self._request.lines, self._request.own)}

    def _orders(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Number of earlier orders, and day of the first and of the last, NaN without one."""
        order = self._memory.labels[name].order
        start, end = self._remembered(name)
        count = end - start
        known = count > 0
        first, last = np.full(len(count), np.nan), np.full(len(count), np.nan)
        if known.any():
            first[known], last[known] = order.day_at(start[known]), order.day_at(end[known] - 1)
        if self._has_several_days:
            own = Timeline.of(self._own_codes[name], self._day, self._lines)
            first = np.where(known, first, own.first(self._day))
            last = np.where(own.count > 0, own.last(self._day), last)
            count = count + own.count
        return count, first, last

    def _labels(self, name: str, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Number of earlier labels, and of returns among them or the latest `most` of them."""
        labels = self._memory.labels[name]
        start, end = self._remembered(name)
        if self._labels_lag:
            start, end = labels.order.before(self._known[name], self._label_day)
        first = start if most is None else np.maximum(start, end - most)
        return end - start, labels.returned[end] - labels.returned[first]

    def _remembered(self, name: str) -> Bounds:
        """Where each line's key begins among the remembered orders, and where its past ends."""
        if name not in self._bounds:
            order = self._memory.labels[name].order
            self._bounds[name] = order.before(self._known[name], self._first_day)
        return self._bounds[name]
