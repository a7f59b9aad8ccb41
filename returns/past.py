"""What is told of an order line beside its own columns, by orders before it and in its basket.

The same features in the same order, whoever knows the past: `DatasetPast` searches a whole dataset
for it, as training and evaluation do; `returns.resident` has it at hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol as Interface

import numpy as np

from data.dataset import Dataset
from returns.baskets import others_mean
from returns.comparisons import levels_as_numbers, number_against_past, relative_values
from returns.features import calendar_features
from returns.history import dated_history, recent_history, undated_history
from returns.history_keys import HistoryKeys, quantity_values
from returns.knowledge import SELF_INFORMED, EventArrays, known_labels
from returns.protocol import Protocol

Features = dict[str, np.ndarray]
"""Numeric features by name, float32 `(num_targets,)` each."""


class DatedPast(Interface):
    """Knows the orders strictly before each target's day."""

    @property
    def day(self) -> np.ndarray:
        """Day of each target, int64 `(num_targets,)`."""

    def history(self) -> Features:
        """What `returns.history.dated_history` gives for all keys."""

    def recent(self) -> Features:
        """What `returns.history.recent_history` gives for the parties to an order."""

    def relative_values(self) -> Features:
        """What `returns.comparisons.relative_values` gives for the parties to an order."""

    def numbers(self) -> Features:
        """What `returns.comparisons.number_against_past` gives."""


def dated_features(past: DatedPast, keys: HistoryKeys, basket: np.ndarray | None) -> Features:
    """What the calendar, the past and the rest of the basket tell of each target.

    Args:
        past: Knows what came before.
        keys: Keys of the history.
        basket: Basket of each target, int64 `(num_targets,)`; None where there are no baskets.
    """
    history = past.history()
    features = calendar_features(past.day) | history
    features |= past.recent() | past.relative_values() | past.numbers()
    if basket is not None:
        names = ("variant", *keys.variant_attributes)
        rates = (f"{name}_earlier_return_rate" for name in names)
        features |= others_mean(basket, {rate: history[rate] for rate in rates})
    return features


@dataclass(frozen=True)
class DatasetPast:
    """The past of events of a dataset, searched for in all of it.

    Attributes:
        dataset: All events and node rows.
        keys: Keys of the history.
        protocol: Which columns are seen.
        split: One of `returns.knowledge.PARTS`, which says whose labels are known.
        targets: Events of it, int64 `(num_targets,)`.
        label_delay_days: Days after the order until its label is known.
    """

    dataset: Dataset
    keys: HistoryKeys
    protocol: Protocol
    split: str
    targets: np.ndarray
    label_delay_days: int

    @cached_property
    def day(self) -> np.ndarray:
        """Day of each target, int64 `(num_targets,)`."""
        return np.asarray(self._day[self.targets])

    def history(self) -> Features:
        """Strictly earlier orders and labels of every key."""
        keys = self._single | self.keys.crossed(self.dataset, self._single)
        return dated_history(keys, self._day, *self._labels)

    def recent(self) -> Features:
        """The latest of them."""
        return recent_history(self._parties, self._day, *self._labels)

    def relative_values(self) -> Features:
        """Quantities against earlier ones."""
        # What is scored comes on top of what a deployed model has summed up beforehand.
        is_learned = self.split in SELF_INFORMED
        scored = None if is_learned else self.dataset.split_mask(self.split)
        values = quantity_values(self.dataset)
        return relative_values(values, self._parties, self._day, self.targets, scored)

    def numbers(self) -> Features:
        """Sizes and the like against the customer's earlier ones."""
        numbers = levels_as_numbers(self.dataset, self.keys.numbered)
        return number_against_past(numbers, self._arrays.customer, self._day, *self._labels)

    def undated_history(self) -> Features:
        """Labels of other folds, or of earlier splits, of every single key."""
        return undated_history(
            self._single,
            self._arrays.customer,
            self._arrays.variant,
            self._arrays.returned,
            known_labels(self.dataset, self.split),
            self.targets,
            cross_fit=self.split in SELF_INFORMED,
        )

    @cached_property
    def _arrays(self) -> EventArrays:
        return EventArrays.of(self.dataset)

    @property
    def _day(self) -> np.ndarray:
        if self._arrays.day is None:
            raise ValueError("the events carry no date")
        return self._arrays.day

    @cached_property
    def _single(self) -> dict[str, np.ndarray]:
        return self.keys.single(self.dataset, self.protocol)

    @property
    def _parties(self) -> Mapping[str, np.ndarray]:
        return {name: self._single[name] for name in self.keys.parties}

    @cached_property
    def _labels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        known = known_labels(self.dataset, self.split)
        return self._arrays.returned, known, self.targets, self.label_delay_days
