"""Mini-batches of the graph: neighbour sampling through PyG's `LinkLoader`, in numpy alone.

After GraphSAGE (Hamilton et al., arXiv 1706.02216): each seed event hears a few edges of its
customer and variant, these hear a few of their own, hop by hop. No Python loop runs over seeds,
nodes or edges.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.sampler import BaseSampler, EdgeSamplerInput, HeteroSamplerOutput
from torch_geometric.typing import EdgeType

from returns.graph import ORDERED_IN, PURCHASED_BY, PURCHASES
from returns.sampling.adjacency import ALL, Adjacency, Choice, HiddenEdges
from returns.sampling.draws import mixed, random_subsets
from returns.sampling.subgraph import Subgraph

EVENTS = (PURCHASES, PURCHASED_BY)
"""Relations whose edges are events: dated, labelled, hidden where they are seeds."""


class NeighbourSampler(BaseSampler):  # type: ignore[misc]
    """Draws the neighbourhoods of seed events for a `LinkLoader`, immutable and deterministic.

    Dated: a seed hears purchases strictly before its own time, and so does all that it hears; the
    batch holds a node once for each distinct time of the seeds that reach it, and `batch` names
    the time (its rank among the batch's). Undated: the batch holds a node once, and no purchase by
    a pair of customer and variant that is a seed of the batch, be it the seed's own row or a
    repetition. Either way no seed's label is among the labels of its messages.

    Only purchases are dated: a member belongs to its virtual node, and a line to its basket, at
    any time.

    Attributes:
        fan_out: Most edges of each relation that a node hears, hop by hop; `ALL` for all.
    """

    def __init__(
        self,
        graph: HeteroData,
        fan_out: Sequence[int],
        *,
        message_time: Tensor | None = None,
        admissible: Tensor | None = None,
        most_recent: bool = False,
        hide_seeds: bool = True,
        redraw: bool = True,
        seed: int = 0,
    ) -> None:
        """Sort the edges of a graph.

        Args:
            graph: As `returns.graph.GraphBuilder` builds it.
            fan_out: Most edges of each relation that a node hears, hop by hop; `ALL` for all.
            message_time: When each message event is known (its day, plus the days until its label
                is, say), int64 `(num_messages,)`; None: undated.
            admissible: Message events that may be heard at all, bool `(num_messages,)`; None: all.
            most_recent: Of too many dated edges take the latest, not a uniform draw.
            hide_seeds: Keep the pairs of seeds out of the messages of an undated batch; only where
                messages carry no label may they stay.
            redraw: Draw anew in each batch of other seeds. Otherwise what a node hears depends on
                `seed` alone, whatever it is sampled with.
            seed: Of the draws.

        Raises:
            ValueError: A fan-out is neither `ALL` nor positive; `most_recent` without time; seeds
                stay among labelled messages; or `message_time` or `admissible` is of a wrong length
                or type.
        """
        super().__init__()
        if not fan_out or any(number < 1 and number != ALL for number in fan_out):
            raise ValueError(f"a fan-out is a positive number or {ALL}, not {list(fan_out)}")
        num_messages = graph[PURCHASES].edge_index.shape[1]
        for name, value in (("message_time", message_time), ("admissible", admissible)):
            if value is not None and value.shape != (num_messages,):
                raise ValueError(f"{name} needs one value for each of {num_messages} messages")
        if message_time is not None and message_time.is_floating_point():
            raise ValueError("message times must be integers, such as days since 1970-01-01")
        if most_recent and message_time is None:
            raise ValueError("undated messages have no most recent ones")
        if not hide_seeds and message_time is None and _has_labels(graph):
            raise ValueError("seeds must be hidden where messages carry labels")
        self.fan_out = tuple(fan_out)
        self._num_nodes = {kind: int(graph[kind].num_nodes) for kind in graph.node_types}
        self._is_dated = message_time is not None
        self._most_recent = most_recent
        self._hides = hide_seeds and not self._is_dated
        self._redraw, self._seed = redraw, seed
        self._basket = graph.target_basket.numpy() if ORDERED_IN in graph.edge_types else None
        self._adjacency = {
            relation: Adjacency.of(
                graph[relation].edge_index.numpy(),
                self._num_nodes[relation[2]],
                None if admissible is None or relation not in EVENTS else admissible.numpy(),
                None if message_time is None or relation not in EVENTS else message_time.numpy(),
            )
            for relation in graph.edge_types
        }

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: None = None
    ) -> HeteroSamplerOutput:
        """Draw the subgraph of some seed events.

        Args:
            index: The seeds: `row` customers, `col` variants, `time` if and only if the messages
                are dated; `input_id` the number of each among the graph's targets (it names the
                seed's basket).
            neg_sampling: Must be None: kept lines are the negatives.

        Returns:
            PyG's directional subgraph: nodes in the order of hops (`num_sampled_nodes`), the seeds'
            first; edges likewise; `edge` numbers the edges of the graph.

        Raises:
            ValueError: Negative sampling is asked for, or time is missing or given in vain.
        """
        if neg_sampling is not None:
            raise ValueError("returns are predicted from events alone, no negatives are sampled")
        if (index.time is not None) != self._is_dated:
            raise ValueError("seeds need `edge_label_time` if and only if messages have times")
        seeds = {"customer": index.row.numpy(), "variant": index.col.numpy()}
        if self._basket is not None:
            seeds["basket"] = self._basket[index.input_id.numpy()]
        time = None if index.time is None else index.time.numpy()
        subgraph = Subgraph(self._num_nodes, time)
        local = subgraph.plant(seeds)
        hidden = self._hidden(seeds["customer"], seeds["variant"]) if self._hides else {}
        key = self._key(seeds["customer"], seeds["variant"], time)
        for fan_out in self.fan_out:
            drawn = {}
            for number, (relation, adjacency) in enumerate(self._adjacency.items()):
                nodes, rank = subgraph.frontier(relation[2])
                owner, place = adjacency.draw(
                    nodes,
                    adjacency.end_before(nodes, subgraph.times, rank),
                    fan_out,
                    self._choice(adjacency, mixed(key + np.uint64(number))),
                    hidden.get(relation),
                )
                drawn[relation] = owner, adjacency.source[place], adjacency.edge[place]
            subgraph.grow(drawn)
            hidden = {}  # they end in seeds, and only the first frontier is of seeds
        label_index = torch.from_numpy(np.stack([local["customer"], local["variant"]]))
        return subgraph.output((index.input_id, label_index, index.label, index.time))

    def sample_from_nodes(self, index: Any, **_: Any) -> HeteroSamplerOutput:
        """Refuse: returns are predicted of events, which are edges.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("seeds are events: use a LinkLoader")

    def _hidden(self, customer: np.ndarray, variant: np.ndarray) -> dict[EdgeType, HiddenEdges]:
        edges = self._adjacency[PURCHASED_BY].edges_between(variant, customer)
        if not len(edges):
            return {}
        return {relation: HiddenEdges.of(self._adjacency[relation], edges) for relation in EVENTS}

    def _key(
        self, customer: np.ndarray, variant: np.ndarray, time: np.ndarray | None
    ) -> np.ndarray:
        """Key of the batch's draws, uint64 `(1,)`."""
        content = hashlib.blake2b(self._seed.to_bytes(8, "little", signed=True), digest_size=8)
        if self._redraw:
            for part in (customer, variant) if time is None else (customer, variant, time):
                content.update(part.tobytes())
        return np.frombuffer(content.digest(), dtype="<u8")

    def _choice(self, adjacency: Adjacency, key: np.ndarray) -> Choice:
        if self._most_recent and adjacency.times is not None:
            return _latest
        return partial(_uniform, key)


def _uniform(key: np.ndarray, nodes: np.ndarray, sizes: np.ndarray, number: int) -> np.ndarray:
    return random_subsets(sizes, number, mixed(nodes.astype(np.uint64) + key))


def _latest(nodes: np.ndarray, sizes: np.ndarray, number: int) -> np.ndarray:
    return (sizes - number)[:, None] + np.arange(number)


def _has_labels(graph: HeteroData) -> bool:
    purchases = graph[PURCHASES]
    return "edge_attr" in purchases and bool(purchases.edge_attr[:, 0].any())
