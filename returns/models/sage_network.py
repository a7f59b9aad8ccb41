"""A heterogeneous GraphSAGE encoder with a perceptron that decodes customer-variant pairs.

Encoder after McGowan et al. (arXiv 2302.14096) with mean instead of max aggregation, layer
normalisation and virtual nodes; see Hamilton et al. (arXiv 1706.02216) for GraphSAGE.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch_geometric.typing import EdgeType, NodeType

from returns.models.graph_batch import GraphBatch
from returns.models.module_keys import module_key
from returns.models.pair_decoder import PairDecoder


@dataclass(frozen=True)
class Architecture:
    """All that fixes the shape of the network.

    Attributes:
        input_widths: Width of the inputs of customers and variants.
        num_levels: Embedded levels per virtual node type, 0 for one shared vector.
        relations: Edge types that carry messages.
        event_width: Width of the encoded event columns.
        has_baskets: Whether targets have baskets.
        hidden: Width of node states.
        decoder_hidden: Width of the decoder.
        num_layers: Rounds of message passing.
        dropout: Share of the decoder's states dropped in training.
    """

    input_widths: Mapping[NodeType, int]
    num_levels: Mapping[NodeType, int]
    relations: tuple[EdgeType, ...]
    event_width: int
    has_baskets: bool
    hidden: int
    decoder_hidden: int
    num_layers: int
    dropout: float

    def to_json(self) -> dict[str, Any]:
        """The architecture as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The architecture that `to_json` wrote."""
        relations = tuple(tuple(relation) for relation in content["relations"])
        return cls(**{**content, "relations": relations})


class SAGELayer(nn.Module):
    """One round of messages: each node hears itself and the mean of each relation's sources.

    Attributes:
        relations: Edge types whose messages are heard.
        destinations: Their destinations, the only node types that are updated.
    """

    def __init__(self, relations: tuple[EdgeType, ...], width: int) -> None:
        """Make the weights.

        Args:
            relations: Edge types whose messages are heard.
            width: Width of states.
        """
        super().__init__()
        self.relations = relations
        self.destinations = sorted({relation[2] for relation in relations})
        keys = [module_key(kind) for kind in self.destinations]
        self.own = nn.ModuleDict({key: nn.Linear(width, width) for key in keys})
        self.heard = nn.ModuleDict(
            {_key(relation): nn.Linear(width, width, bias=False) for relation in relations}
        )
        self.norm = nn.ModuleDict({key: nn.LayerNorm(width) for key in keys})

    def forward(self, states: Mapping[NodeType, Tensor], batch: GraphBatch) -> dict[str, Tensor]:
        """Pass messages once.

        Args:
            states: State of each node type, `(num_nodes, width)`.
            batch: The graph.

        Returns:
            New states of the destinations.
        """
        # Sums and their activation are written in place: no product's gradient needs them.
        sums = {kind: self.own[module_key(kind)](states[kind]) for kind in self.destinations}
        for relation in self.relations:
            source, _, destination = relation
            mean, linear = batch.relations[relation], self.heard[_key(relation)]
            # Mean and product commute: multiply on the side with fewer nodes.
            if len(states[source]) < len(states[destination]):
                message = mean(linear(states[source]))
            else:
                message = linear(mean(states[source]))
            sums[destination].add_(message)
        return {kind: self.norm[module_key(kind)](total).relu_() for kind, total in sums.items()}


class ReturnNetwork(nn.Module):
    """Logit of the return of each target of a graph."""

    def __init__(self, architecture: Architecture) -> None:
        """Make the weights from torch's default generator."""
        super().__init__()
        self.architecture = architecture
        hidden = architecture.hidden
        self.inputs = nn.ModuleDict(
            {kind: nn.Linear(width, hidden) for kind, width in architecture.input_widths.items()}
        )
        self.levels = nn.ModuleDict(
            {
                module_key(kind): nn.Embedding(1 + number, hidden)
                for kind, number in _sorted(architecture)
            }
        )
        # Only customers and variants are read out: the last round updates nothing else.
        last = tuple(r for r in architecture.relations if r[2] in ("customer", "variant"))
        rounds = [architecture.relations] * (architecture.num_layers - 1) + [last]
        self.layers = nn.ModuleList(SAGELayer(relations, hidden) for relations in rounds)
        num_read = 3 if architecture.has_baskets else 2
        self.decoder = PairDecoder(
            num_read * hidden,
            architecture.event_width,
            architecture.decoder_hidden,
            architecture.dropout,
        )

    def forward(self, batch: GraphBatch) -> Tensor:
        """Score the targets of a graph, without gradient.

        Returns:
            Logits, float32 `(num_targets,)`.
        """
        with torch.no_grad():
            return self.decoder(self._states(batch), batch)  # type: ignore[no-any-return]

    def loss(self, batch: GraphBatch) -> Tensor:
        """Weighted mean cross-entropy of the labelled targets of a graph, in nats; scalar."""
        return self.decoder.loss(self._states(batch), batch)

    def _states(self, batch: GraphBatch) -> dict[NodeType, Tensor]:
        """States of all nodes after the last round, and of baskets."""
        states = {kind: linear(batch.inputs[kind]).relu_() for kind, linear in self.inputs.items()}
        states |= {
            kind: self.levels[module_key(kind)](batch.levels[kind])
            for kind, _ in _sorted(self.architecture)
        }
        for layer in self.layers:
            states |= layer(states, batch)
        if batch.baskets is not None:
            states["basket"] = batch.baskets(states["variant"])
        return states


def _key(relation: EdgeType) -> str:
    return module_key("__".join(relation))


def _sorted(architecture: Architecture) -> list[tuple[NodeType, int]]:
    return sorted(architecture.num_levels.items())


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean binary cross-entropy of labelled targets, in nats.

    Args:
        logits: `(num_targets,)`.
        labels: 1 returned, 0 kept; `(num_targets,)`.
        weights: `(num_targets,)`.
    """
    loss = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    # All may be 0: of a month none of whose orders has all its labels.
    return torch.dot(loss, weights) / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
