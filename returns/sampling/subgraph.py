"""A heterogeneous subgraph that grows from seeds hop by hop."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch_geometric.sampler import HeteroSamplerOutput
from torch_geometric.typing import EdgeType, NodeType

from returns.sampling.numbering import Numbering, SortedNumbering, TableNumbering

LARGEST_TABLE = 1 << 23
"""Keys of a node type up to which a table is quicker than sorting; it takes 5 bytes a key."""

Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of each edge drawn: which node of the frontier it ends in, its source, its number."""


class Subgraph:
    """Nodes and edges found so far, a node once for each distinct time it is reached from.

    Within a node type, a node at a time has the key `node * len(times) + rank of the time`.

    Attributes:
        times: Distinct times of the seeds, ascending, int64; a single 0 if undated.
    """

    def __init__(self, num_nodes: Mapping[NodeType, int], time: np.ndarray | None) -> None:
        """Start without nodes.

        Args:
            num_nodes: Number of nodes of each type in the graph.
            time: Time of each seed, int64 `(num_seeds,)`; None: undated.
        """
        self._is_dated = time is not None
        self.times, self._seed_rank = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        if time is not None:
            self.times, self._seed_rank = np.unique(time, return_inverse=True)
        self._numbering = {
            kind: _numbering(number * len(self.times)) for kind, number in num_nodes.items()
        }
        self._edges: dict[EdgeType, list[Drawn]] = {}

    def plant(self, seeds: Mapping[NodeType, np.ndarray]) -> dict[NodeType, np.ndarray]:
        """Put in the seeds' own nodes, the first frontier.

        Args:
            seeds: Node of each seed per type, int64 `(num_seeds,)`.

        Returns:
            Their local numbers, `(num_seeds,)`.
        """
        keys = {kind: self._keys(nodes, self._seed_rank) for kind, nodes in seeds.items()}
        return {
            kind: local
            for kind, numbering in self._numbering.items()
            for local in numbering.add([keys[kind]] if kind in keys else [])
        }

    def frontier(self, kind: NodeType) -> tuple[np.ndarray, np.ndarray]:
        """Nodes found in the last hop and the ranks of their times, int64 `(num_frontier,)`."""
        return self._nodes(self._numbering[kind].hops[-1])

    def grow(self, drawn: Mapping[EdgeType, Drawn]) -> None:
        """Put in edges into the frontier; those of their sources that are new are the next one.

        Args:
            drawn: Edges of each relation.
        """
        columns, keys = {}, {}
        for relation, (owner, source, _) in drawn.items():
            earlier_hops = self._numbering[relation[2]].hops[:-1]
            columns[relation] = owner + sum(len(hop) for hop in earlier_hops)
            _, rank = self.frontier(relation[2])
            keys[relation] = self._keys(source, rank, owner)
        for kind, numbering in self._numbering.items():
            relations = [relation for relation in drawn if relation[0] == kind]
            rows = numbering.add([keys[relation] for relation in relations])
            for relation, row in zip(relations, rows, strict=True):
                hop = (row, columns[relation], drawn[relation][2])
                self._edges.setdefault(relation, []).append(hop)

    def output(self, metadata: tuple[Any, ...]) -> HeteroSamplerOutput:
        """The subgraph in PyG's form; `batch` is the rank of each node's time, None if undated.

        Args:
            metadata: What the loader wants to know of the seeds.
        """
        found = {kind: self._nodes(_joined(n.hops)) for kind, n in self._numbering.items()}
        row, col, edge = (
            {
                relation: torch.from_numpy(_joined([hop[part] for hop in hops]))
                for relation, hops in self._edges.items()
            }
            for part in range(3)
        )
        return HeteroSamplerOutput(
            node={kind: torch.from_numpy(nodes) for kind, (nodes, _) in found.items()},
            row=row,
            col=col,
            edge=edge,
            batch={kind: torch.from_numpy(rank) for kind, (_, rank) in found.items()}
            if self._is_dated
            else None,
            num_sampled_nodes={
                kind: [len(hop) for hop in n.hops] for kind, n in self._numbering.items()
            },
            num_sampled_edges={
                relation: [len(hop[0]) for hop in hops] for relation, hops in self._edges.items()
            },
            metadata=metadata,
        )

    def _keys(
        self, nodes: np.ndarray, rank: np.ndarray, owner: np.ndarray | None = None
    ) -> np.ndarray:
        if len(self.times) > 1:
            node_rank = rank if owner is None else rank[owner]
            nodes = nodes.astype(np.int64) * len(self.times) + node_rank
        return nodes

    def _nodes(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nodes = keys // len(self.times)
        return nodes, keys - nodes * len(self.times)


def _numbering(num_keys: int) -> Numbering:
    return TableNumbering(num_keys) if num_keys <= LARGEST_TABLE else SortedNumbering()


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts, dtype=np.int64)
