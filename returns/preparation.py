"""From a dataset to the event sets of the models, alike in training and serving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from torch_geometric.data import HeteroData

from data.dataset import Dataset
from returns.baskets import basket_features, baskets_of, whole_baskets
from returns.columns import event_columns
from returns.event_set import EventSet, FeatureMatrix
from returns.features import FeatureEncoder, with_numeric
from returns.graph import GraphBuilder
from returns.history_keys import HistoryKeys
from returns.knowledge import PARTS, EventArrays
from returns.missing_rows import MissingRowWeights
from returns.neighbour_search import find_neighbours
from returns.past import DatasetPast, Features, dated_features
from returns.protocol import Protocol
from returns.snapshots import snapshots


@dataclass(frozen=True)
class Preparation:
    """Everything learned from the training events before any model: encoders and weights.

    Attributes:
        protocol: Strict or paper.
        label_delay_days: Days after the order until its label is known (dated data).
        encoder: Encoder of the event columns.
        keys: Keys of the history.
        graphs: Builder of the graphs.
        weights: Weights of events whose missing rows leak; empty under `paper`.
    """

    protocol: Protocol
    label_delay_days: int
    encoder: FeatureEncoder
    keys: HistoryKeys
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
            keys=HistoryKeys.fit(dataset, protocol, train),
            graphs=GraphBuilder.fit(dataset, protocol, train, last_day),
            weights=MissingRowWeights.fit(dataset, train, labels)
            if leaking
            else MissingRowWeights({}, {}),
        )

    def event_set(self, dataset: Dataset, split: str) -> EventSet:
        """The events of a split, encoded for every model.

        Args:
            dataset: All events and node rows.
            split: One of `returns.knowledge.PARTS`; labels of the split itself reach neither
                features nor messages, but for strictly earlier or other-fold events in training.
                Of the first two, which are learned from, only labelled events.
        """
        returned = EventArrays.of(dataset).returned
        whole = np.flatnonzero(dataset.split_mask(*PARTS[split]))
        is_wanted = (returned[whole] >= 0) | (split == "test")
        events = whole[is_wanted]
        labels = returned[events]
        # Of all of them: a basket of what is labelled alone would tell whose label is known.
        features = self.features(dataset, whole, self._told(dataset, split, whole))
        return EventSet(
            features=features.part(is_wanted),
            labels=labels,
            weights=self.weights.transform(dataset, events, labels),
            build_graphs=lambda: self.graphs_of(dataset, split, events),
            build_neighbourhood=lambda fan_out: find_neighbours(
                dataset, self.protocol, self.keys, split, events, fan_out, self.label_delay_days
            ),
            is_whole=whole_baskets(dataset, whole, is_wanted),
        )

    def to_json(self) -> dict[str, Any]:
        """The preparation as JSON values."""
        return {
            "protocol": self.protocol.value,
            "label_delay_days": self.label_delay_days,
            "encoder": self.encoder.to_json(),
            "keys": self.keys.to_json(),
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
            keys=HistoryKeys.from_json(content["keys"]),
            graphs=GraphBuilder.from_json(content["graphs"]),
            weights=MissingRowWeights(**content["weights"]),
        )

    def features(self, dataset: Dataset, events: np.ndarray, told: Features) -> FeatureMatrix:
        """Encode the columns of events, what their baskets say of them, and what else is told.

        Args:
            dataset: Events, whose baskets lie whole among them, and node rows.
            events: Events to describe, int64 `(num_selected,)`.
            told: What is told beside the events' own columns, `returns.past.dated_features` say.
        """
        features = self.encoder.transform(event_columns(dataset, self.protocol, events))
        return with_numeric(features, basket_features(dataset, events) | told)

    def graphs_of(self, dataset: Dataset, split: str, events: np.ndarray) -> Sequence[HeteroData]:
        """The graphs that score events of a split.

        Args:
            dataset: All events and node rows.
            split: One of `returns.knowledge.PARTS`.
            events: Events of it, int64 `(num_targets,)`, ascending.
        """
        return [
            self.graphs.build(dataset, snapshot, np.searchsorted(events, snapshot.targets))
            for snapshot in snapshots(dataset, self.protocol, split, events, self.label_delay_days)
        ]

    def _told(self, dataset: Dataset, split: str, events: np.ndarray) -> Features:
        """What the past tells of events of a dataset."""
        past = DatasetPast(dataset, self.keys, self.protocol, split, events, self.label_delay_days)
        if dataset.is_dated:
            return dated_features(past, self.keys, baskets_of(dataset, events))
        return {} if self.protocol is Protocol.PAPER else past.undated_history()
