"""A synthetic graph of GraphReturns' size, with the degrees of the synthetic twin."""

from dataclasses import dataclass

import numpy as np
import torch
from torch_geometric.data import HeteroData

from returns.graph import PURCHASED_BY, PURCHASES, VERBS

NUM_CUSTOMERS, NUM_VARIANTS, NUM_EVENTS = 810_237, 432_666, 1_369_133
"""Of the training half of GraphReturns: 1.24 million nodes with an event."""

CUSTOMER_WIDTH, VARIANT_WIDTH, EVENT_WIDTH = 13, 24, 55
"""Encoded columns of the twin under the strict protocol."""

CUSTOMER_SKEW, VARIANT_SKEW = 0.9, 1.5
"""Standard deviations of the logarithm of how popular a node is."""

RETURN_RATE, SHARE_WITH_ROW = 0.553, 0.9


@dataclass(frozen=True)
class VirtualNodes:
    """Virtual nodes of one attribute.

    Attributes:
        kind: Their node type.
        members: Node type of their members.
        number: How many at the release's size.
        share: Of the members that have one.
        scales: Whether there are more of them in larger data.
    """

    kind: str
    members: str
    number: int
    share: float
    scales: bool = False


VIRTUAL_NODES = (
    VirtualNodes("shipping_country", "customer", 9, 0.95),
    VirtualNodes("product", "variant", 111_000, 0.6, scales=True),
    VirtualNodes("product_type", "variant", 11, 0.6),
    VirtualNodes("supplier", "variant", 92_000, 0.6, scales=True),
    VirtualNodes("brand", "variant", 11, 0.6),
)
"""As the twin has them under the strict protocol."""


def synthetic_graph(scale: float, seed: int, has_virtual_nodes: bool) -> HeteroData:
    """A graph of random purchases in the shape of `returns.graph.GraphBuilder.build`.

    Every node has an event; the others fall on nodes by a log-normal popularity. Each event is a
    message with its label and a target.

    Args:
        scale: Size; 1.0 is the size of GraphReturns.
        seed: Of all that is drawn.
        has_virtual_nodes: Whether customers and variants belong to virtual nodes.
    """
    random = np.random.default_rng(seed)
    num_events = round(scale * NUM_EVENTS)
    number = {"customer": round(scale * NUM_CUSTOMERS), "variant": round(scale * NUM_VARIANTS)}
    edge_index = torch.from_numpy(
        np.stack(
            [
                _ends(random, number["customer"], num_events, CUSTOMER_SKEW),
                _ends(random, number["variant"], num_events, VARIANT_SKEW),
            ]
        )
    )
    graph = HeteroData()
    for kind, width in (("customer", CUSTOMER_WIDTH), ("variant", VARIANT_WIDTH)):
        has_row = torch.from_numpy(random.random(number[kind]) < SHARE_WITH_ROW)
        columns = random.standard_normal((number[kind], width), dtype=np.float32)
        graph[kind].x = torch.from_numpy(columns) * has_row[:, None]
        graph[kind].has_row = has_row
    label = torch.from_numpy((random.random(num_events) < RETURN_RATE).astype(np.float32))
    purchases = graph[PURCHASES]
    purchases.edge_index = purchases.edge_label_index = edge_index
    purchases.edge_attr = torch.stack([torch.ones(num_events), label], dim=1)
    purchases.edge_label = label
    graph[PURCHASED_BY].edge_index = edge_index.flip(0)
    graph.position = torch.arange(num_events)
    if has_virtual_nodes:
        for virtual in VIRTUAL_NODES:
            _add(graph, virtual, scale, random)
    return graph


def synthetic_columns(graph: HeteroData, seed: int) -> np.ndarray:
    """Encoded columns of each event of a synthetic graph, float32 `(num_events, EVENT_WIDTH)`."""
    random = np.random.default_rng(seed)
    return random.standard_normal((len(graph.position), EVENT_WIDTH), dtype=np.float32)


def _ends(random: np.random.Generator, number: int, num_events: int, skew: float) -> np.ndarray:
    popularity = random.lognormal(0, skew, number)
    more = random.choice(number, num_events - number, p=popularity / popularity.sum())
    return random.permutation(np.concatenate([np.arange(number), more]))


def _add(
    graph: HeteroData, virtual: VirtualNodes, scale: float, random: np.random.Generator
) -> None:
    number = max(1, round(scale * virtual.number)) if virtual.scales else virtual.number
    has_one = random.random(graph[virtual.members].num_nodes) < virtual.share
    member = np.flatnonzero(has_one)
    edges = torch.from_numpy(np.stack([member, random.integers(0, number, len(member))]))
    verb, verb_back = VERBS[virtual.kind]
    graph[virtual.kind].num_nodes = number
    graph[virtual.kind].level = np.arange(number).astype(str).astype(object)
    graph[virtual.members, verb, virtual.kind].edge_index = edges
    graph[virtual.kind, verb_back, virtual.members].edge_index = edges.flip(0)
