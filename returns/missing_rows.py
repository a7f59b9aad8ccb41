"""Weights that keep a missing node row from telling the label.

A release may hold node rows only of those who returned something; then whether the row is missing
tells of the outcome, which nobody knows when the order is placed. Under the strict protocol such
events are weighted so that they return exactly as often as the others: the learned unknown then
stands for an average customer, and all events still teach what their other columns say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from data.dataset import Dataset

ROW_COLUMN = {"customers": "customer_row", "variants": "variant_row"}


@dataclass(frozen=True)
class MissingRowWeights:
    """Weights per node table, learned from training events.

    Attributes:
        returned: Weight of a returned event whose row in that table is missing.
        kept: Weight of a kept one.
    """

    returned: Mapping[str, float]
    kept: Mapping[str, float]

    @classmethod
    def fit(cls, dataset: Dataset, events: np.ndarray, labels: np.ndarray) -> Self:
        """Learn the weights for the tables whose missing rows leak.

        Args:
            dataset: All events and node rows.
            events: Training events, int64 `(num_train,)`.
            labels: Their labels, 0 or 1, `(num_train,)`.
        """
        returned, kept = {}, {}
        for table in dataset.missing_rows_leak:
            missing = _is_missing(dataset, table, events)
            if not missing.any() or missing.all():
                continue
            rate, rate_missing = labels[~missing].mean(), labels[missing].mean()
            if 0 < rate_missing < 1:
                returned[table] = float(rate / rate_missing)
                kept[table] = float((1 - rate) / (1 - rate_missing))
        return cls(returned, kept)

    def transform(self, dataset: Dataset, events: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Weight of each event, float32 `(num_events,)`; 1 where no leaking row is missing."""
        weights = np.ones(len(events), dtype=np.float32)
        for table, returned in self.returned.items():
            missing = _is_missing(dataset, table, events)
            factor = np.where(labels[missing] == 1, returned, self.kept[table])
            weights[missing] *= factor.astype(np.float32)
        return weights


def _is_missing(dataset: Dataset, table: str, events: np.ndarray) -> np.ndarray:
    column = dataset.events[ROW_COLUMN[table]]
    return np.asarray(column.is_null().to_numpy()[events], dtype=bool)
