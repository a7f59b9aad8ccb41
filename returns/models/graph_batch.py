"""A `HeteroData` graph made ready for repeated passes of the network."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType, NodeType

from returns.aggregation import MeanAggregation, RowGather
from returns.graph import ORDERED_IN, PURCHASES
from returns.history import PRIOR_RATE, PRIOR_STRENGTH


@dataclass(frozen=True)
class GraphBatch:
    """Targets of one graph and all that reaches them.

    Attributes:
        inputs: Input of customers and variants, float32 `(num_nodes, width)`.
        levels: Embedded level of each virtual node, int64 `(num_nodes,)`, 0 unknown.
        relations: Mean over each relation's sources.
        baskets: Mean over the variants of each basket; None where there are no baskets.
        gathers: Picks each target's customer, variant and (where there is one) basket.
        events: Encoded columns of the targets, float32 `(num_targets, event_width)`.
        labels: 1 returned, 0 kept, NaN unknown; float32 `(num_targets,)`.
        weights: Weight of each target, float32 `(num_targets,)`.
        position: Row of each target in its event set, int64 `(num_targets,)`.
    """

    inputs: Mapping[NodeType, Tensor]
    levels: Mapping[NodeType, Tensor]
    relations: Mapping[EdgeType, MeanAggregation]
    baskets: MeanAggregation | None
    gathers: Mapping[NodeType, RowGather]
    events: Tensor
    labels: Tensor
    weights: Tensor
    position: Tensor


def make_batch(
    graph: HeteroData,
    events: np.ndarray,
    weights: np.ndarray,
    known_levels: Mapping[NodeType, Mapping[str, int]],
) -> GraphBatch:
    """Sort the edges of a graph and gather what its targets need.

    Args:
        graph: As `returns.graph.GraphBuilder` builds it.
        events: Encoded columns of the whole event set, float32 `(num_events, event_width)`.
        weights: Weight of each event of the set, `(num_events,)`.
        known_levels: Code (from 1) of each embedded level per virtual node type.
    """
    statistics = _message_statistics(graph)
    # A node without a row shows nothing but that: its first layer's bias is the learned unknown.
    inputs = {
        kind: torch.cat(
            [graph[kind].x, graph[kind].has_row[:, None].float(), statistics[kind]], dim=1
        )
        for kind in ("customer", "variant")
    }
    levels = {
        kind: _codes(graph[kind].level, known_levels.get(kind, {}))
        for kind in graph.node_types
        if "level" in graph[kind]
    }
    relations = {
        edge_type: MeanAggregation(
            graph[edge_type].edge_index,
            graph[edge_type[0]].num_nodes,
            graph[edge_type[2]].num_nodes,
        )
        for edge_type in graph.edge_types
        if edge_type != ORDERED_IN
    }
    return GraphBatch(
        inputs=inputs,
        levels=levels,
        relations=relations,
        baskets=_baskets(graph),
        gathers=_gathers(graph),
        events=torch.from_numpy(events[graph.position.numpy()]),
        labels=graph[PURCHASES].edge_label,
        weights=torch.from_numpy(weights[graph.position.numpy()]),
        position=graph.position,
    )


def _message_statistics(graph: HeteroData) -> dict[NodeType, Tensor]:
    """Per customer and variant: log purchases, log labelled purchases, smoothed return rate."""
    statistics = {}
    for kind, ends in zip(("customer", "variant"), graph[PURCHASES].edge_index, strict=True):
        sums = torch.zeros(graph[kind].num_nodes, 3)
        message = torch.cat([torch.ones(len(ends), 1), graph[PURCHASES].edge_attr], dim=1)
        purchases, labelled, returned = sums.index_add_(0, ends, message).unbind(dim=1)
        rate = (returned + PRIOR_RATE * PRIOR_STRENGTH) / (labelled + PRIOR_STRENGTH)
        statistics[kind] = torch.stack([purchases.log1p(), labelled.log1p(), rate], dim=1)
    return statistics


def _codes(levels: np.ndarray, known: Mapping[str, int]) -> Tensor:
    if not known:
        return torch.zeros(len(levels), dtype=torch.int64)
    names = np.array(sorted(known), dtype=object)
    place = np.searchsorted(names, levels).clip(max=len(names) - 1)
    codes = np.array([known[name] for name in names])[place]
    return torch.from_numpy(np.where(names[place] == levels, codes, 0))


def _gathers(graph: HeteroData) -> dict[NodeType, RowGather]:
    customer, variant = graph[PURCHASES].edge_label_index
    gathers = {
        "customer": RowGather.of(customer, graph["customer"].num_nodes),
        "variant": RowGather.of(variant, graph["variant"].num_nodes),
    }
    if "target_basket" in graph:
        gathers["basket"] = RowGather.of(graph.target_basket, graph["basket"].num_nodes)
    return gathers


def _baskets(graph: HeteroData) -> MeanAggregation | None:
    if ORDERED_IN not in graph.edge_types:
        return None
    return MeanAggregation(
        graph[ORDERED_IN].edge_index, graph["variant"].num_nodes, graph["basket"].num_nodes
    )
