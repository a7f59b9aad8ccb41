"""From a dataset to the event sets of the models, alike in training and serving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from torch_geometric.data import HeteroData

from data.dataset import Dataset
from returns.baskets import basket_features, others_mean
from returns.columns import event_columns
from returns.comparisons import levels_as_numbers, number_against_past, relative_values
from returns.event_set import EventSet, FeatureMatrix
from returns.features import FeatureEncoder, calendar_features, with_numeric
from returns.graph import GraphBuilder
from returns.history import dated_history, recent_history, undated_history
from returns.history_keys import HistoryKeys, quantity_values
from returns.knowledge import PARTS, SELF_INFORMED, EventArrays, days, known_labels
from returns.missing_rows import MissingRowWeights
from returns.neighbour_search import find_neighbours
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
        wanted = dataset.split_mask(*PARTS[split]) & ((returned >= 0) | (split == "test"))
        events = np.flatnonzero(wanted)
        labels = returned[events]
        return EventSet(
            features=self._features(dataset, split, events),
            labels=labels,
            weights=self.weights.transform(dataset, events, labels),
            build_graphs=lambda: self._graphs(dataset, split, events),
            build_neighbourhood=lambda fan_out: find_neighbours(
                dataset, self.protocol, self.keys, split, events, fan_out, self.label_delay_days
            ),
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

    def _features(self, dataset: Dataset, split: str, events: np.ndarray) -> FeatureMatrix:
        features = self.encoder.transform(event_columns(dataset, self.protocol, events))
        features = with_numeric(features, basket_features(dataset, events))
        if dataset.is_dated:
            return with_numeric(features, self._dated_features(dataset, split, events))
        if self.protocol is Protocol.PAPER:
            return features
        arrays = EventArrays.of(dataset)
        history = undated_history(
            self.keys.single(dataset, self.protocol),
            arrays.customer,
            arrays.variant,
            arrays.returned,
            known_labels(dataset, split),
            events,
            cross_fit=split in SELF_INFORMED,
        )
        return with_numeric(features, history)

    def _dated_features(
        self, dataset: Dataset, split: str, events: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What strictly earlier orders say of each order."""
        arrays = EventArrays.of(dataset)
        day = days(dataset.events["time"])
        labels = (arrays.returned, known_labels(dataset, split), events, self.label_delay_days)
        single = self.keys.single(dataset, self.protocol)
        keys = single | self.keys.crossed(dataset, single)
        on_variant = {name: single[name] for name in self.keys.variant_attributes}
        parties = {name: single[name] for name in ("customer", "variant")} | on_variant
        history = dated_history(keys, day, *labels)
        features = calendar_features(day[events]) | history
        features |= recent_history(parties, day, *labels)
        features |= relative_values(quantity_values(dataset), parties, day, events)
        numbers = levels_as_numbers(dataset, self.keys.numbered)
        features |= number_against_past(numbers, arrays.customer, day, *labels)
        if "basket" in dataset.events.column_names:
            basket = dataset.events["basket"].to_numpy()[events]
            rates = (f"{name}_earlier_return_rate" for name in ("variant", *on_variant))
            features |= others_mean(basket, {rate: history[rate] for rate in rates})
        return features

    def _graphs(self, dataset: Dataset, split: str, events: np.ndarray) -> Sequence[HeteroData]:
        return [
            self.graphs.build(dataset, snapshot, np.searchsorted(events, snapshot.targets))
            for snapshot in snapshots(dataset, self.protocol, split, events, self.label_delay_days)
        ]
