"""The past of a request's order lines: what is remembered, then the request's earlier days."""

from functools import cached_property

import numpy as np

from returns.comparisons import OUTCOMES, above_mean, relative_to_mean
from returns.history import (
    RECENT,
    RECENT_OF_ALL,
    days_since_first,
    days_since_last,
    earlier_labels,
    earlier_orders,
    latest_labels,
)
from returns.past import Features
from returns.resident.dated import ALL, DatedMemory
from returns.resident.own_orders import OwnOrders
from returns.resident.request import RequestPart
from returns.timeline import KeyOrder

Bounds = tuple[np.ndarray, np.ndarray]
"""Two positions among sorted events per line, int64 `(num_lines,)` each."""


class RequestPast:
    """The past of some of a request's lines: what is remembered, then the request's earlier days.

    As `returns.memory.Memory.with_new` has it: what is remembered counts up to the first day of the
    request; its own lines of earlier days count as orders whose outcome is not known.
    """

    def __init__(
        self,
        memory: DatedMemory,
        part: RequestPart,
        own_orders: OwnOrders | None,
        label_delay_days: int,
    ) -> None:
        """Look up the lines' keys.

        Args:
            memory: What is remembered.
            part: The order lines.
            own_orders: All lines of the request; None where they are all of one day.
            label_delay_days: Days after the order until its label is known.
        """
        self._memory, self._part, self._keys = memory, part, part.request.keys
        self._own_orders = own_orders
        self._day = np.asarray(part.day)
        self._first_day = np.full_like(self._day, part.request.first_day)
        self._label_day = np.minimum(self._first_day, self._day - label_delay_days)
        # Mostly labels are known at once.
        self._labels_lag = bool((self._label_day < self._first_day).any())
        parts = part.known | self._bands
        everything = {ALL: np.zeros(len(self._day), dtype=np.int64)}
        self._known = part.known | self._keys.pairs_of(parts, memory.sizes) | everything
        self._bounds: dict[int, Bounds] = {}

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
            if self._own_orders is not None:
                sums = self._own_orders.quantities[party, name]
                own_count, own_total = sums.before(self._part.own[party], self._day)
                count, total = count + own_count, total + own_total
            features |= relative_to_mean(name, party, self._values[name], count, total)
        return features

    def numbers(self) -> Features:
        """Sizes and the like against the customer's earlier ones."""
        features: Features = {}
        for name in self._keys.numbered:
            number = self._part.quantities[name]
            features[f"{name}_number"] = number.astype(np.float32)
            for outcome in OUTCOMES:
                sums = self._memory.numbers[name, outcome]
                count, total = sums.before(self._known["customer"], self._label_day)
                features |= above_mean(name, outcome, number, count, total)
        return features

    @property
    def _values(self) -> dict[str, np.ndarray]:
        """Numeric columns of the lines."""
        return {name: self._part.quantities[name] for name in self._keys.quantities}

    @cached_property
    def _bands(self) -> dict[str, np.ndarray]:
        return self._keys.bands(self._values)

    @cached_property
    def _own_codes(self) -> dict[str, np.ndarray]:
        if self._own_orders is None:
            return self._part.own
        parts = self._part.own | self._bands
        return self._part.own | self._keys.pairs_of(parts, self._own_orders.sizes)

    def _orders(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Number of earlier orders, and day of the first and of the last, NaN without one."""
        remembered = self._memory.orders[name]
        count, first, last = _orders_of(remembered, *self._remembered(name, remembered))
        if self._own_orders is not None:
            order = self._own_orders.orders[name]
            own = _orders_of(order, *order.before(self._own_codes[name], self._day))
            own_count, own_first, own_last = own
            first = np.where(count > 0, first, own_first)
            last = np.where(own_count > 0, own_last, last)
            count = count + own_count
        return count, first, last

    def _labels(self, name: str, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Number of earlier labels, and of returns among them or the latest `most` of them."""
        labels = self._memory.labels[name]
        if self._labels_lag:
            start, end = labels.order.before(self._known[name], self._label_day)
        else:
            start, end = self._remembered(name, labels.order)
        first = start if most is None else np.maximum(start, end - most)
        return end - start, labels.returned[end] - labels.returned[first]

    def _remembered(self, name: str, order: KeyOrder) -> Bounds:
        """Where each line's key begins among remembered orders, and where its past ends."""
        # Where all are labelled, orders and labels lie in one order, looked up once.
        if id(order) not in self._bounds:
            self._bounds[id(order)] = order.before(self._known[name], self._first_day)
        return self._bounds[id(order)]


def _orders_of(
    order: KeyOrder, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of the orders between two positions, and day of the first and of the last, or NaN."""
    count = end - start
    first, last = np.full(len(count), np.nan), np.full(len(count), np.nan)
    known = count > 0
    if known.any():
        first[known], last[known] = order.day_at(start[known]), order.day_at(end[known] - 1)
    return count, first, last
