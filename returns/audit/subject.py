"""What is audited: the labelled events of train and test, and all that a model sees of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from data.dataset import Dataset
from data.schema import columns_with_role
from returns.columns import DAYS_BEFORE_ORDER, event_columns
from returns.knowledge import EventArrays
from returns.preparation import Preparation
from returns.protocol import Protocol


@dataclass(frozen=True)
class LabelledEvents:
    """Labelled events, whatever is known of them.

    Attributes:
        index: Their numbers in the dataset, int64 `(num_events,)`.
        labels: 1 returned, 0 kept, int8 `(num_events,)`.
        weights: Weight of each in training, float64 `(num_events,)`.
        customer: Customer of each, int64 `(num_events,)`.
        variant: Variant of each, int64 `(num_events,)`.
    """

    index: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    customer: np.ndarray
    variant: np.ndarray

    def __len__(self) -> int:
        """Number of events."""
        return len(self.index)

    @property
    def clusters(self) -> tuple[np.ndarray, np.ndarray]:
        """Groups of events that depend on each other, in each way of grouping."""
        return self.customer, self.variant

    def select(self, chosen: np.ndarray) -> "LabelledEvents":
        """The chosen events, a mask `(num_events,)`."""
        return LabelledEvents(
            self.index[chosen],
            self.labels[chosen],
            self.weights[chosen],
            self.customer[chosen],
            self.variant[chosen],
        )

    def followed_by(self, others: "LabelledEvents") -> "LabelledEvents":
        """These events, then the others."""
        return LabelledEvents(
            np.append(self.index, others.index),
            np.append(self.labels, others.labels),
            np.append(self.weights, others.weights),
            np.append(self.customer, others.customer),
            np.append(self.variant, others.variant),
        )


@dataclass(frozen=True)
class Part:
    """The labelled events of a split and all that a model sees of them.

    Attributes:
        events: The events, in the dataset's order.
        columns: Columns of the source that the protocol admits, as they were read.
        derived: Columns that this project computes, float32 `(num_events,)` each, NaN unknown.
    """

    events: LabelledEvents
    columns: pa.Table
    derived: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Subject:
    """A dataset under a protocol, prepared as for training.

    Attributes:
        dataset: All events and node rows.
        protocol: What models may see.
        preparation: Fitted on the training events.
    """

    dataset: Dataset
    protocol: Protocol
    preparation: Preparation

    @classmethod
    def prepare(cls, dataset: Dataset, protocol: Protocol, label_delay_days: int) -> "Subject":
        """Prepare as for training.

        Raises:
            ValueError: There is no training event, or its labels are all alike.
        """
        return cls(dataset, protocol, Preparation.fit(dataset, protocol, label_delay_days))

    @cached_property
    def arrays(self) -> EventArrays:
        """Customer, variant, label and day of every event."""
        return EventArrays.of(self.dataset)

    @cached_property
    def train(self) -> Part:
        """The events that models learn from."""
        return self._part("train")

    @cached_property
    def test(self) -> Part:
        """The events that models are judged on."""
        return self._part("test")

    @cached_property
    def table_of(self) -> dict[str, str]:
        """The table that each admitted column of the source stands in."""
        tables = {"events": self.dataset.events, "customers": self.dataset.customers}
        tables["variants"] = self.dataset.variants
        admitted = self.train.columns.column_names
        return {
            name: table_name
            for table_name, table in tables.items()
            for column in columns_with_role(table.schema, self.protocol.feature_roles)
            for name in (column, column + DAYS_BEFORE_ORDER)
            if name in admitted
        }

    def _part(self, split: str) -> Part:
        seen = self.preparation.event_set(self.dataset, split)
        labelled = seen.labels >= 0
        arrays = self.arrays
        index = np.flatnonzero(self.dataset.split_mask(split) & (arrays.returned >= 0))
        columns = event_columns(self.dataset, self.protocol, index)
        features = seen.features
        return Part(
            events=LabelledEvents(
                index=index,
                labels=seen.labels[labelled],
                weights=seen.weights[labelled].astype(np.float64),
                customer=arrays.customer[index],
                variant=arrays.variant[index],
            ),
            columns=columns,
            derived={
                name: features.numeric[labelled, position]
                for position, name in enumerate(features.numeric_names)
                if name not in columns.column_names
            },
        )


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A numeric column as float64, NaN for null."""
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
