"""Mini-batches of targets with their sampled neighbourhoods, in the shape of whole graphs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader
from torch_geometric.typing import NodeType

from returns.graph import PURCHASED_BY, PURCHASES
from returns.sampling.sampler import NeighbourSampler


def mini_batches(
    graph: HeteroData,
    sampler: NeighbourSampler,
    batches: Sequence[np.ndarray],
    target_time: Tensor | None = None,
    **options: Any,
) -> LinkLoader:
    """Load mini-batches of a graph's targets through PyG's `LinkLoader`.

    A batch has all that the graph has, for its own targets and the nodes and edges sampled for
    them: `x`, `has_row` and `level` of nodes, `edge_attr` of purchases in both directions (its
    first column tells whose label is known), `edge_label_index` and `edge_label`, `position` and
    `target_basket`. `n_id` and `e_id` number nodes and edges in the graph.

    Args:
        graph: As `returns.graph.GraphBuilder` builds it.
        sampler: Sampler of that graph.
        batches: Numbers of the targets of each batch, each int64 `(batch_size,)`.
        target_time: Time of each target, int64 `(num_targets,)`, where messages have times.
        options: Of torch's `DataLoader`, such as `num_workers`; none that concerns batches.
    """
    purchases = graph[PURCHASES]
    return LinkLoader(
        _sliceable(graph),
        sampler,
        edge_label_index=(PURCHASES, purchases.edge_label_index),
        edge_label=purchases.edge_label,
        edge_label_time=target_time,
        transform=_Completion.of(graph),
        batch_sampler=_Lists(batches),
        generator=_OwnGenerator(),
        **options,
    )


def shuffled_batches(number: int, size: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Deal numbers into batches of a size at random; the last may be smaller.

    Args:
        number: How many: `0 .. number - 1`.
        size: Of a batch.
        generator: Shuffles them.
    """
    return np.split(generator.permutation(number), np.arange(size, number, size))


class _OwnGenerator(torch.Generator):
    """Gives the loader the number that each pass takes, else from the global generator.

    A worker that is not forked gets a new one: torch's own cannot be sent to it.
    """

    def __reduce__(self) -> Any:
        return type(self), ()


@dataclass(frozen=True)
class _Lists:
    """Batches as the lists that a `DataLoader` asks for, each made when its turn comes."""

    batches: Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield batch.tolist()


@dataclass(frozen=True)
class _Completion:
    """Gives a batch what `LinkLoader` cannot slice, or slices slowly.

    That is text, what belongs to targets, and labels: rows of two numbers take several times as
    long to fetch as numbers of twice the width.
    """

    labels: Tensor | None
    levels: Mapping[NodeType, np.ndarray]
    position: Tensor
    target_basket: Tensor | None

    @classmethod
    def of(cls, graph: HeteroData) -> "_Completion":
        labels = graph[PURCHASES].edge_attr if "edge_attr" in graph[PURCHASES] else None
        levels = {kind: graph[kind].level for kind in graph.node_types if "level" in graph[kind]}
        basket = graph.target_basket if "target_basket" in graph else None
        return cls(labels, levels, graph.position, basket)

    def __call__(self, batch: HeteroData) -> HeteroData:
        if self.labels is not None:
            pairs = self.labels.view(torch.int64).squeeze(1)
            for relation in (PURCHASES, PURCHASED_BY):
                drawn = pairs.index_select(0, batch[relation].e_id)
                batch[relation].edge_attr = drawn[:, None].view(self.labels.dtype)
        for kind, level in self.levels.items():
            batch[kind].level = level[batch[kind].n_id.numpy()]
        targets = batch[PURCHASES].input_id
        batch.position = self.position[targets]
        if self.target_basket is not None:
            # The seeds' baskets come first, ascending.
            baskets = batch["basket"].n_id[: batch["basket"].num_sampled_nodes[0]]
            batch.target_basket = torch.searchsorted(baskets, self.target_basket[targets])
        return batch


def _sliceable(graph: HeteroData) -> HeteroData:
    """The graph without what `LinkLoader` cannot slice, or would take for what it is not.

    Labels of targets look like labels of messages where there are as many of either.
    """
    sliceable = HeteroData()
    for kind in graph.node_types:
        sliceable[kind].num_nodes = graph[kind].num_nodes
        for name, value in graph[kind].items():
            if isinstance(value, Tensor):
                sliceable[kind][name] = value
    for relation in graph.edge_types:
        sliceable[relation].edge_index = graph[relation].edge_index
    return sliceable
