"""What each cause adds to the log-odds of each event, and which models can say so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, runtime_checkable

import numpy as np
import pyarrow as pa

from returns.event_set import EventSet


@dataclass(frozen=True)
class Contributions:
    """An additive account of log-odds: they are the base plus the sum over causes.

    Attributes:
        causes: Name of each cause: a feature column, or a relation of the graph.
        log_odds: What each cause adds, float64 `(num_events, num_causes)`.
        base: Log-odds where no cause adds anything, float64 `(num_events,)`.
        details: Of causes that are no feature columns, what there is to say of each event in
            words, string `(num_events,)`.
    """

    causes: tuple[str, ...]
    log_odds: np.ndarray
    base: np.ndarray
    details: Mapping[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of events."""
        return len(self.base)

    @property
    def total(self) -> np.ndarray:
        """Log-odds of each event, float64 `(num_events,)`."""
        return np.asarray(self.base + self.log_odds.sum(axis=1))

    def scaled(self, factor: float) -> Self:
        """The account of the log-odds times a factor, such as one over a temperature."""
        return replace(self, log_odds=self.log_odds * factor, base=self.base * factor)

    def strongest(self, most: int) -> np.ndarray:
        """The causes of each event that add or take away most, in descending order.

        Args:
            most: Number of causes wanted.

        Returns:
            Positions in `causes`, int64 `(num_events, min(most, num_causes))`.
        """
        order = np.argsort(-np.abs(self.log_odds), axis=1, kind="stable")
        return order[:, :most]


@runtime_checkable
class Explainable(Protocol):
    """A classifier that can account for its log-odds."""

    def contributions(self, events: EventSet, rows: np.ndarray) -> Contributions:
        """What each cause adds to the uncalibrated log-odds of some events.

        Args:
            events: All events that are scored together.
            rows: Which of them to account for, int64 `(num_selected,)`.
        """


def mixed(parts: Sequence[tuple[float, Contributions]]) -> Contributions:
    """The account of a weighted sum of log-odds; causes of the same name are added up.

    Args:
        parts: Weight and account of each summand, of the same events.
    """
    causes = tuple(dict.fromkeys(name for _, part in parts for name in part.causes))
    place = {name: position for position, name in enumerate(causes)}
    log_odds = np.zeros((len(parts[0][1]), len(causes)))
    base = np.zeros(len(parts[0][1]))
    for weight, part in parts:
        columns = [place[name] for name in part.causes]
        # Unlike `+=`, this adds up even where one account names a cause twice.
        np.add.at(log_odds.T, columns, weight * part.log_odds.T)
        base += weight * part.base
    details = {name: texts for _, part in parts for name, texts in part.details.items()}
    return Contributions(causes, log_odds, base, details)
