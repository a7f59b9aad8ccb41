from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import HeteroData

from data.dataset import Dataset
from returns.graph import PURCHASED_BY, PURCHASES, GraphBuilder
from returns.knowledge import EventArrays
from returns.protocol import Protocol
from returns.sampling.adjacency import ALL
from returns.sampling.mini_batches import mini_batches, shuffled_batches
from returns.sampling.sampler import NeighbourSampler
from returns.snapshots import Snapshot


@dataclass(frozen=True)
class Whole:
    """All training events of a dataset as targets and as labelled messages of one graph."""

    graph: HeteroData
    time: torch.Tensor | None

    @classmethod
    def of(cls, dataset: Dataset) -> "Whole":
        events = np.flatnonzero(dataset.split_mask("train"))
        day = EventArrays.of(dataset).day
        time = None if day is None else torch.from_numpy(day[events])
        builder = GraphBuilder.fit(dataset, Protocol.STRICT, events, day=0)
        snapshot = Snapshot(events, events, labelled=True, day=0)
        return cls(builder.build(dataset, snapshot, np.arange(len(events))), time)

    def load(
        self, batches: Sequence[np.ndarray], fan_out: tuple[int, ...] = (3, 2), **options: Any
    ) -> Iterator[HeteroData]:
        sampler = NeighbourSampler(self.graph, fan_out, message_time=self.time, seed=3)
        yield from mini_batches(self.graph, sampler, batches, self.time, **options)


@pytest.fixture(params=["undated", "dated"])
def whole(request: pytest.FixtureRequest) -> Whole:
    return Whole.of(request.getfixturevalue(request.param))


@given(st.integers(0, 60), st.integers(1, 20))
def test_batches_deal_out_every_number_once(number, size):
    batches = shuffled_batches(number, size, np.random.default_rng(number))
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(number))
    assert all(len(batch) == size for batch in batches[:-1])


def test_a_batch_is_a_graph_of_its_own_targets(whole):
    graph = whole.graph
    batches = shuffled_batches(len(graph.position), 128, np.random.default_rng(0))
    loaded = list(whole.load(batches))
    assert len(loaded) == len(batches)
    for batch, targets in zip(loaded, batches, strict=True):
        assert batch.validate(raise_on_error=True)
        assert torch.equal(batch.position, graph.position[targets])
        assert torch.equal(batch[PURCHASES].edge_label, graph[PURCHASES].edge_label[targets])
        for row, kind in enumerate(("customer", "variant")):
            nodes = batch[kind].n_id[batch[PURCHASES].edge_label_index[row]]
            assert torch.equal(nodes, graph[PURCHASES].edge_label_index[row, targets])
        for kind in graph.node_types:
            assert set(graph[kind].keys()) <= {*batch[kind].keys(), "num_nodes"}
            if "x" in graph[kind]:
                assert torch.equal(batch[kind].x, graph[kind].x[batch[kind].n_id])
                assert torch.equal(batch[kind].has_row, graph[kind].has_row[batch[kind].n_id])
            if "level" in graph[kind]:
                assert (batch[kind].level == graph[kind].level[batch[kind].n_id]).all()
        for relation in graph.edge_types:
            ends = [batch[kind].n_id for kind in (relation[0], relation[2])]
            edge_index = torch.stack(
                [nodes[end] for nodes, end in zip(ends, batch[relation].edge_index, strict=True)]
            )
            assert torch.equal(edge_index, graph[relation].edge_index[:, batch[relation].e_id])
        if "target_basket" in graph:
            baskets = batch["basket"].n_id[batch.target_basket]
            assert torch.equal(baskets, graph.target_basket[targets])


def test_known_labels_travel_with_purchases_both_ways_but_never_the_targets_own(whole):
    graph = whole.graph
    targets = shuffled_batches(len(graph.position), 64, np.random.default_rng(1))[0]
    (batch,) = whole.load([targets], fan_out=(ALL, ALL))
    label_index = graph[PURCHASES].edge_label_index
    for relation in (PURCHASES, PURCHASED_BY):
        edges = batch[relation].e_id
        assert len(edges) > 100
        assert torch.equal(batch[relation].edge_attr, graph[PURCHASES].edge_attr[edges])
        if whole.time is None:
            pairs = set(map(tuple, label_index[:, edges].T.tolist()))
            assert not pairs & set(map(tuple, label_index[:, targets].T.tolist()))
        else:
            seed_time = whole.time[targets].unique()
            time = seed_time[batch[relation[2]].batch[batch[relation].edge_index[1]]]
            assert (whole.time[edges] < time).all()


def test_labels_that_may_not_be_known_change_no_bit(whole):
    """Each target alone: with every label but the admissible ones changed, nothing changes."""
    graph = whole.graph
    original = graph[PURCHASES].edge_attr.clone()
    label_index = graph[PURCHASES].edge_label_index
    numbers = [np.array([target]) for target in range(0, len(original), 37)]
    for target, first in zip(numbers, list(whole.load(numbers, fan_out=(4, 4))), strict=True):
        if whole.time is None:
            unknowable = (label_index == label_index[:, target]).all(dim=0)
        else:
            unknowable = whole.time >= whole.time[target]
        assert unknowable[target].all()
        graph[PURCHASES].edge_attr = torch.where(unknowable[:, None], 1 - original, original)
        (second,) = whole.load([target], fan_out=(4, 4))
        graph[PURCHASES].edge_attr = original
        assert_same(first, second)


def test_workers_load_the_same_batches_to_the_last_bit(whole):
    batches = shuffled_batches(len(whole.graph.position), 200, np.random.default_rng(2))
    state = torch.random.get_rng_state()
    alone, helped = (list(whole.load(batches, num_workers=number)) for number in (0, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert len(alone) == len(helped) > 2
    for first, second in zip(alone, helped, strict=True):
        assert_same(first, second)


@pytest.mark.slow
def test_workers_need_not_be_forked(undated):
    whole = Whole.of(undated)
    batches = shuffled_batches(len(whole.graph.position), 500, np.random.default_rng(2))
    spawned = whole.load(batches, num_workers=2, multiprocessing_context="spawn")
    for first, second in zip(whole.load(batches), spawned, strict=True):
        assert_same(first, second)


def assert_same(first: HeteroData, second: HeteroData) -> None:
    first_stores, second_stores = first.to_dict(), second.to_dict()
    assert first_stores.keys() == second_stores.keys()
    for key, store in first_stores.items():
        assert store.keys() == second_stores[key].keys()
        for name, value in store.items():
            other = second_stores[key][name]
            if isinstance(value, torch.Tensor):
                assert value.equal(other), (key, name)
            else:
                assert np.array_equal(value, other), (key, name)
