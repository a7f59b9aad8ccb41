"""The events of each key in order of time, and which of them lie strictly before a target."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

FEW = 256
"""Up to so many values are looked up as they come: sorting them first takes longer."""


@dataclass(frozen=True)
class KeyOrder:
    """Where the events of each key lie among events sorted by key, then day.

    Attributes:
        ascending: Key and day of each sorted event in one number, int64 `(num_sorted,)`.
        first_day: Day that days are counted from.
        span: Numbers that one key takes: one more than the days from the first to the last event.
    """

    ascending: np.ndarray
    first_day: int
    span: int

    @classmethod
    def sort(
        cls, key: np.ndarray, day: np.ndarray, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, Self]:
        """Sort events; those of one key and day stay in the order given.

        Args:
            key: Code of each event, int64 `(num_events,)`, -1 unknown.
            day: Day of the order, int64 `(num_events,)`.
            among: Events that count, bool `(num_events,)`; None: all.

        Returns:
            The sorted events, int64 `(num_sorted,)`, and their order.
        """
        code, first_day, span = _codes(key, day)
        counted = np.arange(len(key)) if among is None else np.flatnonzero(among)
        events = counted[np.argsort(code[counted], kind="stable")]
        return events, cls(code[events], first_day, span)

    @classmethod
    def of(cls, key: np.ndarray, day: np.ndarray) -> Self:
        """The order of all events, where it does not matter which is which.

        Args:
            key: As of `sort`.
            day: As of `sort`.
        """
        code, first_day, span = _codes(key, day)
        code.sort()
        return cls(code, first_day, span)

    def before(self, key: np.ndarray, day: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """Where each key's events begin, and where those strictly before a day end.

        Args:
            key: Codes asked for, int64 `(num_asked,)`, -1 unknown.
            day: Day of each, int64 `(num_asked,)`, or of all.

        Returns:
            Two positions among the sorted events, int64 `(num_asked,)` each; alike where the key
            is unknown or has no earlier event.
        """
        first = key * self.span
        days = np.minimum(np.maximum(day - self.first_day, 0), self.span - 1)
        start, end = places(self.ascending, first), places(self.ascending, first + days)
        return start, np.where(key >= 0, end, start)

    def key(self) -> np.ndarray:
        """Key of each sorted event, int64 `(num_sorted,)`."""
        return np.asarray(self.ascending // self.span)

    def day_at(self, position: np.ndarray) -> np.ndarray:
        """Day of the sorted events at some positions, int64."""
        return np.asarray(self.ascending[position] % self.span + self.first_day)


@dataclass(frozen=True)
class Timeline:
    """Events sorted by key, then day, with the earlier part of each target's key.

    Attributes:
        events: The sorted events, int64 `(num_sorted,)`.
        order: Their order.
        start: Where each target's key begins among them, int64 `(num_targets,)`.
        end: Where its strictly earlier events end, int64 `(num_targets,)`; `start` where the
            target's key is unknown.
    """

    events: np.ndarray
    order: KeyOrder
    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(
        cls,
        key: np.ndarray,
        day: np.ndarray,
        targets: np.ndarray,
        among: np.ndarray | None = None,
        delay_days: int = 0,
    ) -> Self:
        """Sort the events and find each target's past.

        Args:
            key: Code of each event, int64 `(num_events,)`, -1 unknown.
            day: Day of the order, int64 `(num_events,)`.
            targets: Events whose past is wanted, int64 `(num_targets,)`.
            among: Events that count, bool `(num_events,)`; None: all.
            delay_days: An event counts when its day + delay lies strictly before the target's day.
        """
        events, order = KeyOrder.sort(key, day, among)
        return cls(events, order, *order.before(key[targets], day[targets] - delay_days))

    @property
    def count(self) -> np.ndarray:
        """Number of strictly earlier events of each target's key, int64 `(num_targets,)`."""
        return np.asarray(self.end - self.start)

    def total(self, flags: np.ndarray, most: int | None = None) -> np.ndarray:
        """Number of flagged events among each target's earlier ones.

        Args:
            flags: Of every event, bool `(num_events,)`.
            most: Only the latest so many events of a target; None: all.

        Returns:
            int64 `(num_targets,)`.
        """
        sums = np.zeros(len(self.events) + 1, dtype=np.int64)
        np.cumsum(flags[self.events], out=sums[1:])
        start = self.start if most is None else np.maximum(self.start, self.end - most)
        total: np.ndarray = sums[self.end] - sums[start]
        return total

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum over each target's earlier events.

        Summed within each key: a later event of another key changes no bit of it.

        Args:
            values: Of every event, float64 `(num_events,)`.

        Returns:
            float64 `(num_targets,)`, 0 without an earlier event.
        """
        running = running_sums(values[self.events], self.order.key())
        return np.where(self.count > 0, running[self.end], 0.0)

    def first(self, values: np.ndarray) -> np.ndarray:
        """Value of each target's earliest event, float64 `(num_targets,)`, NaN without one."""
        return self._at(values, self.start)

    def last(self, values: np.ndarray) -> np.ndarray:
        """Value of each target's latest earlier event, float64 `(num_targets,)`, NaN without."""
        return self._at(values, self.end - 1)

    def _at(self, values: np.ndarray, position: np.ndarray) -> np.ndarray:
        if not len(self.events):
            return np.full(len(position), np.nan)
        event = self.events[position.clip(0, len(self.events) - 1)]
        return np.where(self.count > 0, values[event], np.nan)


def places(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where values would stand among others, before equal ones.

    What is looked up in ascending order finds its neighbourhood in the processor's cache: many
    values take a quarter of the time, sorting included.

    Args:
        ascending: Sorted, int64 `(num_sorted,)`.
        values: int64 `(num_values,)`.

    Returns:
        int64 `(num_values,)`.
    """
    if len(values) <= FEW:
        return np.searchsorted(ascending, values)
    order = np.argsort(values)
    found = np.empty(len(values), dtype=np.int64)
    found[order] = np.searchsorted(ascending, values[order])
    return found


def running_sums(values: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Sums of the values up to each position, each key's by itself.

    Args:
        values: Sorted by key, float64 `(num_sorted,)`.
        key: Of each, int64 `(num_sorted,)`.

    Returns:
        float64 `(num_sorted + 1,)`: at `i` the sum of the values before `i` that have the key of
        the one right before it; 0 at the beginning.
    """
    return np.append(0.0, pd.Series(values).groupby(key).cumsum().to_numpy())


def _codes(key: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Key and day of each event in one number, the first day, and the numbers a key takes."""
    first_day = int(day.min()) if len(day) else 0
    span = int(day.max(initial=first_day)) - first_day + 2
    return key * span + (day - first_day), first_day, span
