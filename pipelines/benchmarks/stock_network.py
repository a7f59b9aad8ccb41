"""The full-batch model in stock PyG: the same sums, written as its documentation would.

`HeteroConv` of `SAGEConv` with mean aggregation on `edge_index` (COO), a decoder on concatenated
states, torch's dropout. Of the ways to write it, the cheapest: a node's own state is transformed
once, not once for each relation, and the last round updates only the nodes that are read out.
"""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, SAGEConv
from torch_geometric.typing import EdgeType, NodeType

from returns.graph import PURCHASES
from returns.models.graph_batch import GraphBatch
from returns.models.sage_network import Architecture, ReturnNetwork, SAGELayer


@dataclass(frozen=True)
class StockBatch:
    """What the stock network needs of a graph.

    Attributes:
        inputs: As in `returns.models.graph_batch.GraphBatch`; so are the others below.
        levels: Embedded level of each virtual node.
        edge_index: Source and destination of each edge, int64 `(2, num_edges)`.
        pairs: Customer and variant of each target, int64 `(2, num_targets)`.
        events: Encoded columns of the targets.
        labels: Their labels.
        weights: Their weights.
    """

    inputs: Mapping[NodeType, Tensor]
    levels: Mapping[NodeType, Tensor]
    edge_index: Mapping[EdgeType, Tensor]
    pairs: Tensor
    events: Tensor
    labels: Tensor
    weights: Tensor

    @classmethod
    def of(cls, graph: HeteroData, batch: GraphBatch) -> Self:
        """The same graph for the stock network.

        Args:
            graph: The graph.
            batch: Made of it.
        """
        return cls(
            inputs=batch.inputs,
            levels=batch.levels,
            edge_index={relation: graph[relation].edge_index for relation in graph.edge_types},
            pairs=graph[PURCHASES].edge_label_index,
            events=batch.events,
            labels=batch.labels,
            weights=batch.weights,
        )


class StockNetwork(nn.Module):
    """Logit of the return of each target of a graph without baskets, by stock message passing."""

    def __init__(self, architecture: Architecture) -> None:
        """Make the weights from torch's default generator.

        Raises:
            ValueError: The architecture has baskets.
        """
        super().__init__()
        if architecture.has_baskets:
            raise ValueError("the stock network is written for graphs without baskets")
        hidden, decoder = architecture.hidden, architecture.decoder_hidden
        self.inputs = nn.ModuleDict(
            {kind: nn.Linear(width, hidden) for kind, width in architecture.input_widths.items()}
        )
        self.levels = nn.ModuleDict(
            {kind: nn.Embedding(1 + n, hidden) for kind, n in architecture.num_levels.items()}
        )
        last = tuple(r for r in architecture.relations if r[2] in ("customer", "variant"))
        rounds = [architecture.relations] * (architecture.num_layers - 1) + [last]
        self.rounds = nn.ModuleList(_convolution(relations, hidden) for relations in rounds)
        self.norms = nn.ModuleList(
            nn.ModuleDict({kind: nn.LayerNorm(hidden) for kind in _first_relations(relations)})
            for relations in rounds
        )
        self.decoder = nn.Sequential(
            nn.Linear(2 * hidden + architecture.event_width, decoder),
            nn.ReLU(),
            nn.Dropout(architecture.dropout),
            nn.Linear(decoder, decoder // 2),
            nn.ReLU(),
            nn.Dropout(architecture.dropout),
            nn.Linear(decoder // 2, 1),
        )

    @classmethod
    def like(cls, network: ReturnNetwork) -> Self:
        """A stock network that computes what a network of ours does, with copies of its weights."""
        stock = cls(network.architecture)
        with torch.no_grad():
            stock.inputs.load_state_dict(network.inputs.state_dict())
            stock.levels.load_state_dict(network.levels.state_dict())
            rounds: Iterable[Any] = zip(stock.rounds, stock.norms, network.layers, strict=True)
            for convolution, norms, layer in rounds:
                norms.load_state_dict(layer.norm.state_dict())
                _copy_round(layer, convolution)
            rest = network.decoder.rest
            for place, linear in ((0, network.decoder.first), (3, rest[2]), (6, rest[5])):
                stock.decoder[place].load_state_dict(linear.state_dict())
        return stock

    def forward(self, batch: StockBatch) -> Tensor:
        """Score the targets of a graph.

        Returns:
            Logits, float32 `(num_targets,)`.
        """
        states = {kind: linear(batch.inputs[kind]).relu() for kind, linear in self.inputs.items()}
        states |= {kind: table(batch.levels[kind]) for kind, table in self.levels.items()}
        rounds: Iterable[Any] = zip(self.rounds, self.norms, strict=True)
        for convolution, norms in rounds:
            heard = convolution(states, batch.edge_index)
            states |= {kind: norms[kind](sums).relu() for kind, sums in heard.items()}
        customer, variant = batch.pairs
        pair = [states["customer"][customer], states["variant"][variant], batch.events]
        logits: Tensor = self.decoder(torch.cat(pair, dim=1)).squeeze(1)
        return logits


def _first_relations(relations: tuple[EdgeType, ...]) -> dict[NodeType, EdgeType]:
    """The relation of each destination that transforms the destination's own state too."""
    first: dict[NodeType, EdgeType] = {}
    for relation in relations:
        first.setdefault(relation[2], relation)
    return first


def _convolution(relations: tuple[EdgeType, ...], width: int) -> HeteroConv:
    first = _first_relations(relations)
    convolutions = {}
    for relation in relations:
        has_own = first[relation[2]] == relation
        convolutions[relation] = SAGEConv(
            (width, width), width, aggr="mean", root_weight=has_own, bias=has_own
        )
    with warnings.catch_warnings():
        # Nodes that are not read out are not updated in the last round: as it should be.
        warnings.filterwarnings("ignore", "There exist node types")
        return HeteroConv(convolutions, aggr="sum")


def _copy_round(layer: SAGELayer, convolution: HeteroConv) -> None:
    first = _first_relations(layer.relations)
    for relation in layer.relations:
        stock = convolution.convs[relation]
        heard: Any = layer.heard["__".join(relation)]
        own: Any = layer.own[relation[2]]
        stock.lin_l.weight.copy_(heard.weight)
        if first[relation[2]] == relation:
            stock.lin_l.bias.copy_(own.bias)
            stock.lin_r.weight.copy_(own.weight)
