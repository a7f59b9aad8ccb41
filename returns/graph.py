"""The heterogeneous graph of a snapshot: customers, variants, virtual nodes, purchases.

Node types are `customer`, `variant`, one virtual node type per attribute column, and `basket`
where orders have one. A purchase is an edge `(customer, purchases, variant)`; the messages are
the snapshot's message events, with their labels as `edge_attr` where the snapshot says so, and the
targets are `edge_label_index`, as is PyG's custom for link prediction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch_geometric.data import HeteroData

from data.dataset import Dataset
from returns.columns import attribute_names, node_columns
from returns.dense import DenseEncoder
from returns.features import FeatureEncoder
from returns.protocol import Protocol
from returns.snapshots import Snapshot

PURCHASES = ("customer", "purchases", "variant")
PURCHASED_BY = ("variant", "purchased_by", "customer")
ORDERED_IN = ("variant", "ordered_in", "basket")

VERBS = {
    "product": ("belongs_to", "includes"),
    "item": ("belongs_to", "includes"),
    "supplier": ("supplied_by", "supplies"),
    "brand": ("is_from", "from_is"),
    "shipping_country": ("is_from", "from_is"),
    "product_type": ("is", "is_type_of"),
    "top_return_reason": ("top_reason_is", "is_top_for"),
}
"""Verb of the edge from a member to its virtual node, and back; `has` and `of` for the rest."""


@dataclass(frozen=True)
class NodeEncoder:
    """Encodes the node rows of customers or variants into their `x`.

    Attributes:
        features: Numbers and level codes of the columns.
        dense: Those as one dense matrix.
    """

    features: FeatureEncoder
    dense: DenseEncoder

    @classmethod
    def fit(cls, columns: pa.Table) -> Self:
        """Learn from the node rows that training events refer to."""
        features = FeatureEncoder.fit(columns)
        matrix = features.transform(columns)
        return cls(features, DenseEncoder().fit(matrix, np.ones(len(matrix))))

    def transform(self, columns: pa.Table) -> torch.Tensor:
        """Encode node rows, float32 `(num_nodes, width)`."""
        return torch.from_numpy(self.dense.transform(self.features.transform(columns)))

    def to_json(self) -> dict[str, Any]:
        """The encoder as JSON values."""
        return {"features": self.features.to_json(), "dense": self.dense.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The encoder that `to_json` wrote."""
        return cls(
            FeatureEncoder.from_json(content["features"]), DenseEncoder.from_json(content["dense"])
        )


@dataclass(frozen=True)
class GraphBuilder:
    """Builds the graph of a snapshot; fitted once on the training events.

    Attributes:
        protocol: Which columns the nodes may show.
        customer: Encoder of customer rows.
        variant: Encoder of variant rows.
    """

    protocol: Protocol
    customer: NodeEncoder
    variant: NodeEncoder

    @classmethod
    def fit(cls, dataset: Dataset, protocol: Protocol, events: np.ndarray, day: int) -> Self:
        """Learn the node encoders.

        Args:
            dataset: All events and node rows.
            protocol: Which columns the nodes may show.
            events: Training events, int64 `(num_train,)`.
            day: Day that dates are counted back from, in days since 1970-01-01.
        """
        encoders = []
        for table, column in (
            (dataset.customers, "customer_row"),
            (dataset.variants, "variant_row"),
        ):
            rows = _rows_of(dataset, column, events)
            distinct = np.unique(rows[rows >= 0])
            encoders.append(NodeEncoder.fit(node_columns(table, protocol, distinct, day)))
        return cls(protocol, *encoders)

    def build(self, dataset: Dataset, snapshot: Snapshot, positions: np.ndarray) -> HeteroData:
        """Build the graph of one snapshot.

        Args:
            dataset: All events and node rows.
            snapshot: Targets and messages.
            positions: Row of each target in its `EventSet`, int64 `(num_targets,)`.

        Returns:
            `x` (float32, zeros without a row) and `has_row` (bool) of customers and variants;
            `level` (text of the attribute's level) of virtual nodes; per edge type `edge_index`
            (int64 `(2, num_edges)`). On `purchases` also `edge_attr` (float32
            `(num_messages, 2)`: label known, returned), `edge_label_index` `(2, num_targets)` and
            `edge_label` (float32 `(num_targets,)`, NaN unknown). `position` holds `positions`,
            `target_basket` the targets' basket node.
        """
        graph = HeteroData()
        customer = self._add_nodes(graph, dataset, snapshot, "customer", dataset.customers)
        variant = self._add_nodes(graph, dataset, snapshot, "variant", dataset.variants)
        returned = pc.fill_null(dataset.events["returned"], -1).to_numpy()
        purchases = torch.stack([customer.messages, variant.messages])
        graph[PURCHASES].edge_index = purchases
        graph[PURCHASED_BY].edge_index = purchases.flip(0)
        label = torch.from_numpy(returned[snapshot.messages])
        known = (label >= 0) if snapshot.labelled else torch.zeros(len(label), dtype=torch.bool)
        graph[PURCHASES].edge_attr = torch.stack([known, known & (label == 1)], dim=1).float()
        graph[PURCHASES].edge_label_index = torch.stack([customer.targets, variant.targets])
        target_label = torch.from_numpy(returned[snapshot.targets]).float()
        graph[PURCHASES].edge_label = torch.where(target_label >= 0, target_label, torch.nan)
        graph.position = torch.from_numpy(positions)
        self._add_baskets(graph, dataset, snapshot, variant.targets)
        return graph

    def to_json(self) -> dict[str, Any]:
        """The builder as JSON values."""
        return {
            "protocol": self.protocol.value,
            "customer": self.customer.to_json(),
            "variant": self.variant.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The builder that `to_json` wrote."""
        return cls(
            Protocol(content["protocol"]),
            NodeEncoder.from_json(content["customer"]),
            NodeEncoder.from_json(content["variant"]),
        )

    def _add_nodes(
        self, graph: HeteroData, dataset: Dataset, snapshot: Snapshot, kind: str, table: pa.Table
    ) -> "_LocalNodes":
        """Add customers or variants, their rows and their virtual nodes."""
        index = dataset.events[kind].to_numpy()
        nodes = _LocalNodes.of(index[snapshot.messages], index[snapshot.targets])
        row = np.full(nodes.number, -1, dtype=np.int64)
        for events, local in (
            (snapshot.messages, nodes.messages),
            (snapshot.targets, nodes.targets),
        ):
            event_row = _rows_of(dataset, f"{kind}_row", events)
            row[local.numpy()[event_row >= 0]] = event_row[event_row >= 0]
        encoder = self.customer if kind == "customer" else self.variant
        columns = node_columns(table, self.protocol, row, snapshot.day)
        has_row = torch.from_numpy(row >= 0)
        graph[kind].x = encoder.transform(columns) * has_row[:, None]
        graph[kind].has_row = has_row
        for attribute in attribute_names(table.schema, self.protocol):
            self._add_virtual_nodes(graph, kind, attribute, columns[attribute])
        return nodes

    def _add_virtual_nodes(
        self, graph: HeteroData, kind: str, attribute: str, column: pa.ChunkedArray
    ) -> None:
        levels = pc.unique(column).drop_null().sort()
        code = pc.fill_null(pc.index_in(column, value_set=levels), -1).to_numpy()
        member = np.flatnonzero(code >= 0)
        edges = torch.from_numpy(np.stack([member, code[member].astype(np.int64)]))
        verb, verb_back = VERBS.get(attribute, ("has", "of"))
        graph[attribute].num_nodes = len(levels)
        graph[attribute].level = levels.cast(pa.string()).to_numpy(zero_copy_only=False)
        graph[kind, verb, attribute].edge_index = edges
        graph[attribute, verb_back, kind].edge_index = edges.flip(0)

    def _add_baskets(
        self, graph: HeteroData, dataset: Dataset, snapshot: Snapshot, variant: torch.Tensor
    ) -> None:
        if "basket" not in dataset.events.column_names:
            return
        basket = dataset.events["basket"].to_numpy()[snapshot.targets]
        distinct, local = np.unique(basket, return_inverse=True)
        graph["basket"].num_nodes = len(distinct)
        graph.target_basket = torch.from_numpy(local)
        graph[ORDERED_IN].edge_index = torch.stack([variant, graph.target_basket])


@dataclass(frozen=True)
class _LocalNodes:
    """Contiguous numbering of the nodes of one snapshot, ascending in the dataset's index."""

    number: int
    messages: torch.Tensor
    targets: torch.Tensor

    @classmethod
    def of(cls, messages: np.ndarray, targets: np.ndarray) -> Self:
        size = int(max(messages.max(initial=-1), targets.max(initial=-1))) + 1
        present = np.zeros(size, dtype=bool)
        present[messages] = present[targets] = True
        local = np.cumsum(present) - 1
        number = int(present.sum())
        return cls(number, torch.from_numpy(local[messages]), torch.from_numpy(local[targets]))


def _rows_of(dataset: Dataset, column: str, events: np.ndarray) -> np.ndarray:
    """Node row of each event, -1 where there is none."""
    return np.asarray(pc.fill_null(dataset.events[column], -1).to_numpy()[events])
