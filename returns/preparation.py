"""From a dataset to the event sets of the models, alike in training and serving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from torch_geometric.data import HeteroData

from data.dataset import Dataset
from returns.baskets import basket_features
from returns.columns import attribute_codes, event_columns
from returns.event_set import EventSet, FeatureMatrix
from returns.features import FeatureEncoder, calendar_features, with_numeric
from returns.graph import GraphBuilder
from returns.history import dated_history, undated_history
from returns.knowledge import EventArrays, known_labels
from returns.missing_rows import MissingRowWeights
from returns.protocol import Protocol
from returns.snapshots import snapshots


@dataclass(frozen=True)
class Preparation:
    """Everything learned from the training events before any model: encoders and weights.

    Attributes:
        protocol: Strict or paper.
        label_delay_days: Days after the order until its label is known (dated data).
        encoder: Encoder of the event columns.
        graphs: Builder of the graphs.
        weights: Weights of events whose missing rows leak; empty under `paper`.
    """

    protocol: Protocol
    label_delay_days: int
    encoder: FeatureEncoder
    graphs: GraphBuilder
    weights: MissingRowWeights

    @classmethod
    def fit(cls, dataset: Dataset, protocol: Protocol, label_delay_days: int = 0) -> Self:
        """Learn from the training events of a dataset.

        Args:
            dataset: All events and node rows.
            protocol: Strict or paper.
            label_delay_days: Days after the order until its label is known (dated data).

        Raises:
            ValueError: There is no training event, or its labels are all alike.
        """
        arrays = EventArrays.of(dataset)
        train = np.flatnonzero(dataset.split_mask("train") & (arrays.returned >= 0))
        labels = arrays.returned[train]
        if len(np.unique(labels)) < 2:
            raise ValueError("training needs labelled events of both kinds, returned and kept")
        last_day = 0 if arrays.day is None else int(arrays.day[train].max())
        leaking = protocol is Protocol.STRICT
        return cls(
            protocol=protocol,
            label_delay_days=label_delay_days,
            encoder=FeatureEncoder.fit(event_columns(dataset, protocol, train)),
            graphs=GraphBuilder.fit(dataset, protocol, train, last_day),
            weights=MissingRowWeights.fit(dataset, train, labels)
            if leaking
            else MissingRowWeights({}, {}),
        )

    def event_set(self, dataset: Dataset, split: str) -> EventSet:
        """The events of a split, encoded for every model.

        Args:
            dataset: All events and node rows.
            split: `train`, `validation` or `test`; labels of the split itself reach neither
                features nor messages, but for strictly earlier or other-fold events in training.
                Of the first two, which are learned from, only labelled events.
        """
        returned = EventArrays.of(dataset).returned
        wanted = dataset.split_mask(split) & ((returned >= 0) | (split == "test"))
        events = np.flatnonzero(wanted)
        labels = returned[events]
        return EventSet(
            features=self._features(dataset, split, events),
            labels=labels,
            weights=self.weights.transform(dataset, events, labels),
            build_graphs=lambda: self._graphs(dataset, split, events),
        )

    def to_json(self) -> dict[str, Any]:
        """The preparation as JSON values."""
        return {
            "protocol": self.protocol.value,
            "label_delay_days": self.label_delay_days,
            "encoder": self.encoder.to_json(),
            "graphs": self.graphs.to_json(),
            "weights": {"returned": self.weights.returned, "kept": self.weights.kept},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The preparation that `to_json` wrote."""
        return cls(
            protocol=Protocol(content["protocol"]),
            label_delay_days=content["label_delay_days"],
            encoder=FeatureEncoder.from_json(content["encoder"]),
            graphs=GraphBuilder.from_json(content["graphs"]),
            weights=MissingRowWeights(**content["weights"]),
        )

    def _features(self, dataset: Dataset, split: str, events: np.ndarray) -> FeatureMatrix:
        features = self.encoder.transform(event_columns(dataset, self.protocol, events))
        arrays = EventArrays.of(dataset)
        features = with_numeric(features, basket_features(dataset, events))
        if arrays.day is None and self.protocol is Protocol.PAPER:
            return features
        keys = {
            "customer": arrays.customer,
            "variant": arrays.variant,
            **attribute_codes(dataset, self.protocol),
        }
        known = known_labels(dataset, split)
        if arrays.day is None:
            history = undated_history(
                keys,
                arrays.customer,
                arrays.variant,
                arrays.returned,
                known,
                events,
                cross_fit=split == "train",
            )
            return with_numeric(features, history)
        history = dated_history(
            keys, arrays.day, arrays.returned, known, events, self.label_delay_days
        )
        return with_numeric(features, calendar_features(arrays.day[events]) | history)

    def _graphs(self, dataset: Dataset, split: str, events: np.ndarray) -> Sequence[HeteroData]:
        return [
            self.graphs.build(dataset, snapshot, np.searchsorted(events, snapshot.targets))
            for snapshot in snapshots(dataset, self.protocol, split, events, self.label_delay_days)
        ]
