"""Neighbour sampling in plain torch, as one would write it first: the sampler's alternative.

Each node takes all its edges, or as many draws with replacement as the fan-out if it has more;
nodes found are made distinct and numbered by sorting. Messages of the seeds' own pairs are not
kept out, which is less work than a sampler may do where messages carry labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType, NodeType

from returns.graph import PURCHASED_BY, PURCHASES


@dataclass(frozen=True)
class PlainSubgraph:
    """Nodes and edges drawn for some seeds.

    Attributes:
        nodes: Nodes of each type, int64 `(num_nodes,)`, a node once for each time it is heard at.
        times: Rank of the time that each is heard at, int64 `(num_nodes,)`.
        edges: Number in the graph, place of the source and of the destination among `nodes` of
            each edge drawn, int64 `(3, num_edges)`.
    """

    nodes: Mapping[NodeType, Tensor]
    times: Mapping[NodeType, Tensor]
    edges: Mapping[EdgeType, Tensor]


@dataclass(frozen=True)
class _Incoming:
    """Edges of one relation by destination, in order of time where they have one."""

    start: Tensor
    source: Tensor
    number: Tensor
    moment: Tensor | None

    @classmethod
    def of(cls, edge_index: Tensor, num_nodes: int, time: Tensor | None, num_times: int) -> Self:
        source, destination = edge_index
        key = destination if time is None else destination * num_times + time
        order = torch.argsort(key, stable=True)
        start = torch.zeros(num_nodes + 1, dtype=torch.int64)
        torch.cumsum(torch.bincount(destination, minlength=num_nodes), dim=0, out=start[1:])
        return cls(start, source[order], order, None if time is None else key[order])


class PlainSampler:
    """Draws neighbourhoods of purchases hop by hop."""

    def __init__(self, graph: HeteroData, fan_out: Sequence[int], time: Tensor | None) -> None:
        """Sort the edges.

        Args:
            graph: As `returns.graph.GraphBuilder` builds it.
            fan_out: Most edges of each relation that a node hears, hop by hop.
            time: Of each purchase, a small number from 0, int64 `(num_events,)`; None: undated.
        """
        self._fan_out = tuple(fan_out)
        self._num_times = 1 if time is None else int(time.max()) + 1
        self._incoming = {}
        for relation in graph.edge_types:
            dated = time if relation in (PURCHASES, PURCHASED_BY) else None
            self._incoming[relation] = _Incoming.of(
                graph[relation].edge_index, graph[relation[2]].num_nodes, dated, self._num_times
            )

    def sample(self, seeds: Mapping[NodeType, Tensor], time: Tensor | None) -> PlainSubgraph:
        """Draw the neighbourhoods of seeds.

        Args:
            seeds: Node of each seed by type, int64 `(num_seeds,)`.
            time: Of each seed: it hears purchases strictly before; None if undated.
        """
        rank = torch.zeros(1, dtype=torch.int64) if time is None else time
        kinds = {kind for relation in self._incoming for kind in (relation[0], relation[2])}
        empty = torch.empty(0, dtype=torch.int64)
        keys = dict.fromkeys(kinds, empty)
        keys |= {kind: torch.unique(node * self._num_times + rank) for kind, node in seeds.items()}
        frontier = dict(keys)
        edges: dict[EdgeType, list[Tensor]] = {relation: [] for relation in self._incoming}
        for fan_out in self._fan_out:
            found: dict[NodeType, list[Tensor]] = {kind: [] for kind in kinds}
            for relation, incoming in self._incoming.items():
                heard = frontier[relation[2]]
                owner, place = self._draw(incoming, heard, fan_out)
                source = incoming.source[place] * self._num_times + heard[owner] % self._num_times
                found[relation[0]].append(source)
                edges[relation].append(torch.stack([incoming.number[place], source, heard[owner]]))
            for kind in kinds:
                frontier[kind], keys[kind] = _new(keys[kind], found[kind])
        # Only now is it known where each key stands.
        return PlainSubgraph(
            nodes={kind: key // self._num_times for kind, key in keys.items()},
            times={kind: key % self._num_times for kind, key in keys.items()},
            edges={
                relation: _placed(torch.cat(parts, dim=1), keys[relation[0]], keys[relation[2]])
                for relation, parts in edges.items()
            },
        )

    def _draw(self, incoming: _Incoming, heard: Tensor, fan_out: int) -> tuple[Tensor, Tensor]:
        """Which of the nodes each edge drawn ends in, and the edge's place."""
        node = heard // self._num_times
        start, end = incoming.start[node], incoming.start[node + 1]
        if incoming.moment is not None:
            end = torch.searchsorted(incoming.moment, heard)
        number = (end - start)[:, None]
        taken = torch.arange(fan_out).expand(len(heard), fan_out)
        drawn = (torch.rand(len(heard), fan_out) * number).long()
        place = start[:, None] + torch.where(number > fan_out, drawn, taken)
        owner, column = torch.nonzero(taken < number, as_tuple=True)
        return owner, place[owner, column]


def _new(known: Tensor, found: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Keys found that were not known, and all keys, ascending."""
    distinct = torch.unique(torch.cat([torch.empty(0, dtype=torch.int64), *found]))
    new = distinct[~torch.isin(distinct, known)]
    return new, torch.sort(torch.cat([known, new])).values


def _placed(edges: Tensor, sources: Tensor, destinations: Tensor) -> Tensor:
    number, source, destination = edges
    return torch.stack(
        [
            number,
            torch.searchsorted(sources, source),
            torch.searchsorted(destinations, destination),
        ]
    )
