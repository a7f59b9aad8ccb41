from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import HeteroData
from torch_geometric.sampler import EdgeSamplerInput, HeteroSamplerOutput, NegativeSampling

from returns.graph import PURCHASED_BY, PURCHASES
from returns.sampling import subgraph
from returns.sampling.adjacency import ALL
from returns.sampling.sampler import NeighbourSampler

EVENTS = (PURCHASES, PURCHASED_BY)
FAN_OUTS = st.lists(st.sampled_from([1, 2, 3, ALL]), min_size=1, max_size=3)


@dataclass(frozen=True)
class Case:
    """Purchases and seeds; times are None if undated."""

    messages: np.ndarray
    admissible: np.ndarray
    message_time: np.ndarray | None
    targets: np.ndarray
    target_time: np.ndarray | None

    def sampler(self, graph: HeteroData, fan_out: list[int], **options) -> NeighbourSampler:
        return NeighbourSampler(
            graph,
            fan_out,
            message_time=tensor(self.message_time),
            admissible=tensor(self.admissible),
            **options,
        )

    def seeds(self, number: np.ndarray) -> EdgeSamplerInput:
        time = None if self.target_time is None else tensor(self.target_time[number])
        row, col = torch.from_numpy(self.targets[:, number])
        return EdgeSamplerInput(tensor(number), row, col, None, time, PURCHASES)

    def admits(self, edge: int, time: int | None, seeds: np.ndarray) -> bool:
        """What may be heard, in plain words: the oracle."""
        if self.message_time is None:
            pair = tuple(self.messages[:, edge])
            seed_pairs = {tuple(self.targets[:, seed]) for seed in seeds}
            return bool(self.admissible[edge]) and pair not in seed_pairs
        return bool(self.admissible[edge]) and self.message_time[edge] < time


def tensor(values: np.ndarray | None) -> torch.Tensor | None:
    return None if values is None else torch.from_numpy(values)


@st.composite
def cases(draw: st.DrawFn, dated: bool | None = None) -> tuple[Case, np.ndarray]:
    """Purchases, seeds, and which of the seeds make the batch."""
    pair = st.tuples(st.integers(0, 5), st.integers(0, 4))
    messages = draw(st.lists(pair, max_size=30))
    targets = draw(st.lists(pair, min_size=1, max_size=8))
    dated = draw(st.booleans()) if dated is None else dated

    def array(elements: st.SearchStrategy, number: int, dtype: type) -> np.ndarray:
        return np.array(draw(st.lists(elements, min_size=number, max_size=number)), dtype=dtype)

    day = st.integers(-3, 4)
    case = Case(
        np.array(messages, dtype=np.int64).reshape(-1, 2).T.copy(),
        array(st.booleans(), len(messages), bool),
        array(day, len(messages), np.int64) if dated else None,
        np.array(targets, dtype=np.int64).T.copy(),
        array(day, len(targets), np.int64) if dated else None,
    )
    batch = draw(st.lists(st.integers(0, len(targets) - 1), min_size=1, unique=True))
    return case, np.array(batch)


def instances(case: Case, batch: np.ndarray, out: HeteroSamplerOutput) -> dict[str, list]:
    """Each local node as (node, time), in local order."""
    if case.target_time is None:
        return {kind: [(int(n), None) for n in nodes] for kind, nodes in out.node.items()}
    times = sorted(set(case.target_time[batch]))
    return {
        kind: [(int(n), times[r]) for n, r in zip(nodes, out.batch[kind], strict=True)]
        for kind, nodes in out.node.items()
    }


def check_against_oracle(
    graph: HeteroData, case: Case, batch: np.ndarray, fan_out: list[int], out: HeteroSamplerOutput
) -> None:
    """Walk the hops and compare what was drawn with what may be heard."""
    local = instances(case, batch, out)
    seed_time = [None] * len(batch) if case.target_time is None else case.target_time[batch]
    seed_nodes = dict(zip(("customer", "variant"), case.targets[:, batch], strict=True))
    seed_nodes["basket"] = graph.target_basket.numpy()[batch]
    known = {
        kind: sorted(set(zip(seed_nodes[kind], seed_time, strict=True)), key=sortable)
        if kind in seed_nodes
        else []
        for kind in graph.node_types
    }
    frontier = {kind: list(nodes) for kind, nodes in known.items()}
    edge_seen = dict.fromkeys(graph.edge_types, 0)
    for hop, most in enumerate(fan_out):
        found: dict[str, set] = {kind: set() for kind in graph.node_types}
        for relation in graph.edge_types:
            edge_index = graph[relation].edge_index.numpy()
            number = out.num_sampled_edges[relation][hop]
            part = slice(edge_seen[relation], edge_seen[relation] + number)
            edge_seen[relation] += number
            drawn: dict = {node: [] for node in frontier[relation[2]]}
            for row, col, edge in zip(
                *(of[relation][part].tolist() for of in (out.row, out.col, out.edge)), strict=True
            ):
                source, destination = local[relation[0]][row], local[relation[2]][col]
                assert (source[0], destination[0]) == tuple(edge_index[:, edge])
                assert source[1] == destination[1]
                drawn[destination].append(edge)
                found[relation[0]].add(source)
            for (node, time), edges in drawn.items():
                may = {
                    edge
                    for edge in np.flatnonzero(edge_index[1] == node)
                    if relation not in EVENTS or case.admits(edge, time, batch)
                }
                assert len(set(edges)) == len(edges)
                assert set(edges) <= may
                assert len(edges) == (len(may) if most == ALL else min(most, len(may)))
        frontier = {kind: sorted(found[kind] - set(known[kind]), key=sortable) for kind in known}
        known = {kind: known[kind] + frontier[kind] for kind in known}
        for kind, nodes in frontier.items():
            assert out.num_sampled_nodes[kind][hop + 1] == len(nodes)
    assert local == known


def sortable(instance: tuple[int, int | None]) -> tuple[int, int]:
    return instance[0], instance[1] or 0


@given(cases(), FAN_OUTS, st.booleans())
def test_what_is_drawn_is_admissible_enough_and_complete(event_graph, drawn, fan_out, redraw):
    case, batch = drawn
    graph = event_graph(case.messages, case.targets)
    sampler = case.sampler(graph, fan_out, redraw=redraw)
    out = sampler.sample_from_edges(case.seeds(batch))
    check_against_oracle(graph, case, batch, fan_out, out)
    _, (customer, variant), _, _ = out.metadata
    assert np.array_equal(out.node["customer"][customer], case.targets[0, batch])
    assert np.array_equal(out.node["variant"][variant], case.targets[1, batch])
    if case.target_time is not None:
        rank = np.unique(case.target_time[batch], return_inverse=True)[1]
        assert np.array_equal(out.batch["customer"][customer], rank)
        assert np.array_equal(out.batch["variant"][variant], rank)


@given(cases(dated=True), FAN_OUTS)
def test_ranges_of_keys_too_wide_for_a_table_change_nothing(event_graph, drawn, fan_out):
    case, batch = drawn
    sampler = case.sampler(event_graph(case.messages, case.targets), fan_out)
    with pytest.MonkeyPatch.context() as patch:
        outputs = [sampler.sample_from_edges(case.seeds(batch))]
        patch.setattr(subgraph, "LARGEST_TABLE", 0)
        outputs.append(sampler.sample_from_edges(case.seeds(batch)))
    assert same(*outputs)


def same(first: HeteroSamplerOutput, second: HeteroSamplerOutput) -> bool:
    """Whether two subgraphs are the same to the last bit."""
    return all(
        torch.equal(getattr(first, part)[key], values)
        for part in ("node", "row", "col", "edge")
        for key, values in getattr(second, part).items()
    )


def crowded_case(dated: bool = False) -> Case:
    """Many purchases of the same few nodes."""
    rng = np.random.default_rng(0)
    messages = np.stack([rng.integers(0, 6, 400), rng.integers(0, 5, 400)])
    targets = np.stack([np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)])[:, ::3].copy()
    day = rng.integers(0, 50, 400) if dated else None
    return Case(messages, np.ones(400, bool), day, targets, np.full(10, 60) if dated else None)


@pytest.mark.parametrize("dated", [False, True])
def test_a_seed_fixes_the_draws_and_another_one_changes_them(event_graph, dated):
    case = crowded_case(dated)
    graph = event_graph(case.messages, case.targets)
    batch = np.arange(4)
    draws = [
        case.sampler(graph, [3, 3], seed=seed).sample_from_edges(case.seeds(batch))
        for seed in (5, 5, 6)
    ]
    assert same(draws[0], draws[1])
    assert not same(draws[0], draws[2])


def heard_by_customer(out: HeteroSamplerOutput, customer: int) -> set[int]:
    local = (out.node["customer"] == customer).nonzero().item()
    return set(out.edge[PURCHASED_BY][out.col[PURCHASED_BY] == local].tolist())


@pytest.mark.parametrize("redraw", [False, True])
def test_what_a_node_hears_depends_on_the_batch_only_if_redrawn(event_graph, redraw):
    case = crowded_case(dated=True)
    graph = event_graph(case.messages, case.targets)
    sampler = case.sampler(graph, [3], redraw=redraw)
    customer = int(case.targets[0, 0])
    heard = [
        heard_by_customer(sampler.sample_from_edges(case.seeds(np.array(batch))), customer)
        for batch in ([0], [0, 5, 9], [3, 0])
    ]
    assert all(len(edges) == 3 for edges in heard)
    assert (heard[0] == heard[1] == heard[2]) is not redraw


def test_the_most_recent_purchases_are_the_latest(event_graph):
    case = crowded_case(dated=True)
    case = replace(case, target_time=np.full(10, 25))
    graph = event_graph(case.messages, case.targets)
    out = case.sampler(graph, [4], most_recent=True).sample_from_edges(case.seeds(np.arange(10)))
    for customer in np.unique(case.targets[0]):
        earlier = np.flatnonzero((case.messages[0] == customer) & (case.message_time < 25))
        latest = np.sort(case.message_time[earlier])[-4:]
        heard = sorted(heard_by_customer(out, customer))
        assert np.array_equal(np.sort(case.message_time[heard]), latest)


def test_seeds_among_unlabelled_messages_may_stay(event_graph):
    case = crowded_case()
    graph = event_graph(case.messages, case.targets)
    with pytest.raises(ValueError, match="hidden where messages carry labels"):
        NeighbourSampler(graph, [ALL], hide_seeds=False)
    graph[PURCHASES].edge_attr = torch.zeros_like(graph[PURCHASES].edge_attr)
    batch = np.arange(3)
    out = NeighbourSampler(graph, [ALL], hide_seeds=False).sample_from_edges(case.seeds(batch))
    for relation, ends in ((PURCHASES, 1), (PURCHASED_BY, 0)):
        into = np.isin(case.messages[ends], case.targets[ends, batch])
        assert sorted(out.edge[relation].tolist()) == np.flatnonzero(into).tolist()


def test_seeds_without_any_message_stand_alone(event_graph):
    case = Case(
        np.empty((2, 0), np.int64), np.empty(0, bool), None, np.array([[3, 1], [4, 4]]), None
    )
    graph = event_graph(case.messages, case.targets)
    out = case.sampler(graph, [5, 5]).sample_from_edges(case.seeds(np.array([0, 1])))
    assert out.num_sampled_edges[PURCHASES] == out.num_sampled_edges[PURCHASED_BY] == [0, 0]
    assert out.node["customer"].tolist() == [1, 3]


def test_wrong_use_is_refused(event_graph):
    dated, undated = crowded_case(dated=True), crowded_case()
    graph = event_graph(undated.messages, undated.targets)
    for options, complaint in (
        ({"fan_out": []}, "fan-out"),
        ({"fan_out": [10, 0]}, "fan-out"),
        ({"most_recent": True}, "no most recent"),
        ({"message_time": torch.zeros(400)}, "integers"),
        ({"message_time": torch.zeros(3, dtype=torch.int64)}, "400 messages"),
        ({"admissible": torch.ones(3, dtype=torch.bool)}, "400 messages"),
    ):
        with pytest.raises(ValueError, match=complaint):
            NeighbourSampler(graph, **{"fan_out": [2], **options})
    batch = np.arange(2)
    for sampled, seeded in ((dated, undated), (undated, dated)):
        with pytest.raises(ValueError, match="if and only if messages have times"):
            sampled.sampler(graph, [2]).sample_from_edges(seeded.seeds(batch))
    sampler = undated.sampler(graph, [2])
    with pytest.raises(ValueError, match="negatives"):
        sampler.sample_from_edges(undated.seeds(batch), NegativeSampling("binary"))
    with pytest.raises(NotImplementedError, match="seeds are events"):
        sampler.sample_from_nodes(undated.seeds(batch))
