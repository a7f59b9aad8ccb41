"""Neighbour sampling against the plain way to write it.

PyG's own `NeighborLoader` needs compiled packages that are on no package index, and is no
alternative here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.sampler import EdgeSamplerInput, HeteroSamplerOutput

from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.charts import bars
from pipelines.benchmarks.measurement import CPU, Measurement
from pipelines.benchmarks.measuring import times_in_turns
from pipelines.benchmarks.plain_sampler import PlainSampler, PlainSubgraph
from pipelines.benchmarks.roofline import Machine, Work, roofline
from pipelines.benchmarks.synthetic_graph import synthetic_graph
from returns.graph import PURCHASED_BY, PURCHASES
from returns.sampling.mini_batches import mini_batches, shuffled_batches
from returns.sampling.sampler import NeighbourSampler

OWN, PLAIN = "this sampler", "plain torch"
BATCH_SIZE = 8192
FAN_OUT = (10, 10)
BATCHES_A_REPEAT = 8
NUM_DAYS = 60
RATE = "seeds per CPU s"
"""Seed events sampled in a second of CPU time."""

IS_DATED = {"undated": False, "dated": True}


class Sampling:
    """Two hops of ten neighbours around 8,192 seed events at a time.

    `subgraph`: nodes and edges are drawn. `batch`: they are loaded, with the labels of their
    purchases. `batch with features`: with the columns of customers and variants, too. Ours come as
    `HeteroData` through PyG's `LinkLoader`, the plain ones as tensors.
    """

    name: ClassVar[str] = "sampling"
    title: ClassVar[str] = "sampling around 8,192 seed events (synthetic graph)"
    is_kept: ClassVar[bool] = False

    def parts(self, settings: Settings) -> Sequence[str]:
        """Undated and dated."""
        return list(IS_DATED)

    def measure(self, part: str, settings: Settings) -> Sequence[Measurement]:
        """Measure subgraphs, then batches without and with features."""
        graph = synthetic_graph(settings.scale, settings.seed, has_virtual_nodes=False)
        torch.manual_seed(settings.seed)
        task = SamplingTask.of(graph, IS_DATED[part], settings.seed)
        stages = {
            "subgraph": (task.own_subgraphs(), task.plain_subgraphs()),
            "batch": (task.own_batches(has_features=False), task.plain_batches(has_features=False)),
            "batch with features": (
                task.own_batches(has_features=True),
                task.plain_batches(has_features=True),
            ),
        }
        found: list[Measurement] = []
        for stage, pair in stages.items():
            contenders = {
                name: _round(batches) for name, batches in zip((OWN, PLAIN), pair, strict=True)
            }
            found += times_in_turns(
                f"{part}, {stage}", contenders, settings.repeats, BATCHES_A_REPEAT
            )
        found += [_rate(row, task.batch_size) for row in found if row.quantity == CPU]
        least = Work(0.0, least_traffic(next(task.own_subgraphs())))
        return [*found, *roofline(f"{part}, subgraph", Machine.measure(), least)]

    def conclude(self, measurements: Sequence[Measurement]) -> Sequence[Measurement]:
        """Nothing more."""
        return []

    def figures(self, measurements: Sequence[Measurement]) -> Mapping[str, Figure]:
        """Bars of all contenders."""
        return {self.name: bars(measurements, self.title)}


@dataclass(frozen=True)
class SamplingTask:
    """Endless subgraphs and batches of either sampler, around the same seeds in the same order.

    Attributes:
        graph: The graph.
        time: Day of each of its events, int64 `(num_events,)`; None: undated.
        batches: Numbers of the seed events of each batch, all of one size.
        own: This project's sampler.
        plain: The alternative.
    """

    graph: HeteroData
    time: Tensor | None
    batches: Sequence[np.ndarray]
    own: NeighbourSampler
    plain: PlainSampler

    @classmethod
    def of(cls, graph: HeteroData, is_dated: bool, seed: int) -> "SamplingTask":
        """Sort the graph's edges for both samplers.

        Args:
            graph: As `synthetic_graph` makes it.
            is_dated: Whether its events get random days.
            seed: Of the days and of the order of seeds.
        """
        random = np.random.default_rng(seed)
        number = len(graph.position)
        days = np.sort(random.integers(0, NUM_DAYS, number))
        time = torch.from_numpy(days) if is_dated else None
        size = min(BATCH_SIZE, number)
        dealt = shuffled_batches(number, size, random)
        return cls(
            graph=graph,
            time=time,
            batches=[batch for batch in dealt if len(batch) == size],
            own=NeighbourSampler(graph, FAN_OUT, message_time=time),
            plain=PlainSampler(graph, FAN_OUT, time),
        )

    @property
    def batch_size(self) -> int:
        """Seed events of a batch."""
        return len(self.batches[0])

    def own_subgraphs(self) -> Iterator[HeteroSamplerOutput]:
        """Subgraphs of this project's sampler."""
        purchases = self.graph[PURCHASES]
        customer, variant = purchases.edge_label_index
        for batch in cycle(self.batches):
            event = torch.from_numpy(batch)
            time = None if self.time is None else self.time[event]
            label = purchases.edge_label[event]
            yield self.own.sample_from_edges(
                EdgeSamplerInput(event, customer[event], variant[event], label, time, PURCHASES)
            )

    def plain_subgraphs(self) -> Iterator[PlainSubgraph]:
        """Subgraphs of the alternative."""
        customer, variant = self.graph[PURCHASES].edge_label_index
        for batch in cycle(self.batches):
            event = torch.from_numpy(batch)
            time = None if self.time is None else self.time[event]
            yield self.plain.sample({"customer": customer[event], "variant": variant[event]}, time)

    def own_batches(self, has_features: bool) -> Iterator[HeteroData]:
        """Batches of this project's sampler, through `LinkLoader`.

        Args:
            has_features: Whether customers and variants have their columns.
        """
        graph = self.graph if has_features else _without_features(self.graph)
        loader = mini_batches(graph, self.own, self.batches, self.time)
        while True:
            yield from loader

    def plain_batches(self, has_features: bool) -> Iterator[tuple[PlainSubgraph, list[Tensor]]]:
        """Subgraphs of the alternative, labels of their purchases, features if wanted.

        Args:
            has_features: Whether customers and variants have their columns.
        """
        for subgraph in self.plain_subgraphs():
            picked = [
                self.graph[PURCHASES].edge_attr[subgraph.edges[relation][0]]
                for relation in (PURCHASES, PURCHASED_BY)
            ]
            if has_features:
                for kind in ("customer", "variant"):
                    node = subgraph.nodes[kind]
                    picked += [self.graph[kind].x[node], self.graph[kind].has_row[node]]
            yield subgraph, picked


def least_traffic(subgraph: HeteroSamplerOutput) -> float:
    """Bytes that must be read and written to draw a subgraph.

    Of each node, two bounds of its edges are read and its number is written; of each edge, source
    and number (32 bits) are read, number and both ends (64 bits) are written.
    """
    num_nodes = sum(len(nodes) for nodes in subgraph.node.values())
    num_edges = sum(len(edges) for edges in subgraph.edge.values())
    return float((16 + 8) * num_nodes + (8 + 24) * num_edges)


def _without_features(graph: HeteroData) -> HeteroData:
    bare = HeteroData()
    for kind in graph.node_types:
        bare[kind].num_nodes = graph[kind].num_nodes
    for relation in graph.edge_types:
        for key, value in graph[relation].items():
            bare[relation][key] = value
    bare.position = graph.position
    return bare


def _round(batches: Iterator[object]) -> Callable[[], None]:
    """Takes so many batches, keeping none."""

    def take() -> None:
        for _ in range(BATCHES_A_REPEAT):
            next(batches)

    return take


def _rate(row: Measurement, batch_size: int) -> Measurement:
    rates = tuple(batch_size / seconds for seconds in row.values)
    return Measurement(row.subject, row.contender, RATE, rates)
