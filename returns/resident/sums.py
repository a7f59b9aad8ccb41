"""Sums of a quantity over the orders of each key, ready to be asked up to any day."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from returns.timeline import KeyOrder, running_sums


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
