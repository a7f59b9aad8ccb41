"""The events of each key in order of time, and which of them lie strictly before a target."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Timeline:
    """Events sorted by key, then day, with the earlier part of each target's key.

    Attributes:
        events: The sorted events, int64 `(num_sorted,)`.
        key: Key of each of them, int64 `(num_sorted,)`.
        start: Where each target's key begins among them, int64 `(num_targets,)`.
        end: Where its strictly earlier events end, int64 `(num_targets,)`; `start` where the
            target's key is unknown.
    """

    events: np.ndarray
    key: np.ndarray
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
        first_day = int(day.min(initial=0)) - delay_days - 1
        span = int(day.max(initial=0)) - first_day + 1
        code = key * span + (day - first_day)
        counted = np.arange(len(key)) if among is None else np.flatnonzero(among)
        events = counted[np.argsort(code[counted], kind="stable")]
        ascending = code[events]
        start = np.searchsorted(ascending, key[targets] * span)
        end = np.searchsorted(ascending, code[targets] - delay_days)
        return cls(events, key[events], start, np.where(key[targets] >= 0, end, start))

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
        running = pd.Series(values[self.events]).groupby(self.key).cumsum().to_numpy()
        return np.where(self.count > 0, np.append(running, 0.0)[self.end - 1], 0.0)

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
