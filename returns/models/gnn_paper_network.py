"""The network of the GraphReturns authors, from PyG's stock parts.

McGowan et al. (arXiv 2302.14096), with the sizes of the authors' public code. That code lists one
hidden width and one output width, which we read as two convolutions.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, SAGEConv
from torch_geometric.typing import EdgeType, NodeType
from torch_geometric.utils import scatter, trim_to_layer

from returns.graph import PURCHASES

UNUSED = ("supplier",)
"""Virtual node types that the authors do not use."""


@dataclass(frozen=True)
class PaperArchitecture:
    """All that fixes the shape of the network.

    Attributes:
        input_widths: Width of the inputs of each node type.
        relations: Edge types that carry messages.
        hidden: Width of node states.
        decoder_hidden: Width of the decoder.
        num_layers: Rounds of message passing.
        dropout: Share of states dropped in training.
    """

    input_widths: Mapping[NodeType, int]
    relations: tuple[EdgeType, ...]
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


class PaperNetwork(nn.Module):
    """Heterogeneous GraphSAGE with maxima over neighbours and over relations, and a decoder."""

    def __init__(self, architecture: PaperArchitecture) -> None:
        """Make the weights from torch's default generator."""
        super().__init__()
        self.architecture = architecture
        hidden, decoder = architecture.hidden, architecture.decoder_hidden
        kinds = architecture.input_widths
        widths = [kinds, *[dict.fromkeys(kinds, hidden)] * (architecture.num_layers - 1)]
        self.rounds = nn.ModuleList(
            HeteroConv(
                {
                    relation: SAGEConv(
                        (width[relation[0]], width[relation[2]]), hidden, aggr="max", normalize=True
                    )
                    for relation in architecture.relations
                },
                aggr="max",
            )
            for width in widths
        )
        self.decoder = nn.Sequential(
            nn.Linear(2 * hidden, decoder),
            nn.Dropout(architecture.dropout),
            nn.LeakyReLU(),
            nn.Linear(decoder, 1),
        )

    def forward(self, batch: HeteroData) -> Tensor:
        """Score the targets of a sampled batch of as many hops as the network has rounds.

        Returns:
            Logits, float32 `(num_targets,)`.
        """
        states = {kind: batch[kind].x for kind in self.architecture.input_widths}
        edges = {relation: batch[relation].edge_index for relation in self.architecture.relations}
        for number, convolution in enumerate(self.rounds):
            # Without edges that the targets no longer hear of, and whatever else was sampled
            # beside them, each target is scored as if alone.
            states, edges, _ = trim_to_layer(
                number, batch.num_sampled_nodes_dict, batch.num_sampled_edges_dict, states, edges
            )
            if number:
                dropout, training = self.architecture.dropout, self.training
                states = {k: F.dropout(s.relu(), dropout, training) for k, s in states.items()}
            states = convolution(states, edges)
        customer, variant = batch[PURCHASES].edge_label_index
        pair = torch.cat([states["customer"][customer], states["variant"][variant]], dim=1)
        logits: Tensor = self.decoder(pair).squeeze(1)
        return logits


def paper_graph(graph: HeteroData) -> HeteroData:
    """A graph as the authors have it: no labels on messages, virtual nodes with features.

    A virtual node's features are the mean of its members'. Whether a node's row is missing, which
    the authors' inner joins rule out, is one more feature. Baskets are left out.

    Args:
        graph: As `returns.graph.GraphBuilder` builds it.
    """
    paper = HeteroData()
    for kind in ("customer", "variant"):
        has_row = graph[kind].has_row[:, None].float()
        paper[kind].x = torch.cat([graph[kind].x, has_row], dim=1)
    for relation in graph.edge_types:
        member, _, kind = relation
        if "level" in graph[kind] and kind not in UNUSED:
            source, destination = graph[relation].edge_index
            paper[kind].x = scatter(
                paper[member].x[source], destination, dim_size=graph[kind].num_nodes, reduce="mean"
            )
    for relation in graph.edge_types:
        if {relation[0], relation[2]} <= set(paper.node_types):
            paper[relation].edge_index = graph[relation].edge_index
    paper[PURCHASES].edge_label_index = graph[PURCHASES].edge_label_index
    paper[PURCHASES].edge_label = graph[PURCHASES].edge_label
    paper.position = graph.position
    return paper
