"""Counts of the remembered labels of undated data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from data.dataset import Dataset
from returns.history import earlier_labels, totals_of_levels
from returns.knowledge import EventArrays
from returns.past import Features


@dataclass(frozen=True)
class UndatedMemory:
    """Labels and returns per level of each key.

    Attributes:
        totals: By key, float64 `(num_levels + 1, 2)`; the last row, of unknown levels, is 0.
    """

    totals: dict[str, np.ndarray]

    @classmethod
    def of(cls, past: Dataset, single: dict[str, np.ndarray]) -> Self:
        """Count.

        Args:
            past: The remembered events, all of them labelled.
            single: Their codes by single key.
        """
        returned = EventArrays.of(past).returned
        labelled, fold = np.ones(len(returned), dtype=bool), np.zeros(len(returned), dtype=np.int64)
        totals = {}
        for name, code in single.items():
            of_levels = totals_of_levels(code, returned, labelled, fold, 1)[:, 0]
            totals[name] = np.concatenate([of_levels, np.zeros((1, 2))])
        return cls(totals)

    def history(self, known: Mapping[str, np.ndarray]) -> Features:
        """What `returns.history.undated_history` gives for order lines.

        Args:
            known: Their remembered codes by key, int64 `(num_lines,)`, -1 unknown.
        """
        features: Features = {}
        for name, totals in self.totals.items():
            labelled, returned = totals[known[name]].T
            features |= earlier_labels(name, labelled, returned)
        return features
