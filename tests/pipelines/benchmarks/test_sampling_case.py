import pytest
import torch

from pipelines.benchmarks.measurement import CPU, ROOFLINE, WALL
from pipelines.benchmarks.plain_sampler import PlainSampler
from pipelines.benchmarks.sampling import OWN, PLAIN, RATE, Sampling, SamplingTask, least_traffic
from pipelines.benchmarks.synthetic_graph import synthetic_graph
from returns.graph import PURCHASED_BY, PURCHASES


@pytest.fixture(scope="module")
def graph():
    return synthetic_graph(0.002, 0, has_virtual_nodes=True)


def plain_subgraph(graph, fan_out, time=None, number=50):
    """A subgraph around the first events, which are heard by all later ones."""
    torch.manual_seed(0)
    customer, variant = graph[PURCHASES].edge_index
    event = torch.arange(len(graph.position))[-number:]
    seeds = {"customer": customer[event], "variant": variant[event]}
    of_seed = None if time is None else time[event]
    return PlainSampler(graph, fan_out, time).sample(seeds, of_seed), seeds


def test_edges_drawn_are_edges_of_the_graph(graph):
    subgraph, _ = plain_subgraph(graph, [4, 3])
    for relation, (number, source, destination) in subgraph.edges.items():
        ends = graph[relation].edge_index[:, number]
        assert torch.equal(subgraph.nodes[relation[0]][source], ends[0])
        assert torch.equal(subgraph.nodes[relation[2]][destination], ends[1])
    assert len(subgraph.edges[PURCHASES][0]) > 100


def test_a_node_hears_all_its_edges_or_as_many_as_the_fan_out(graph):
    (subgraph, seeds), fan_out = plain_subgraph(graph, [5]), 5
    for relation in (PURCHASES, PURCHASED_BY):
        kind = relation[2]
        degree = torch.bincount(graph[relation].edge_index[1], minlength=graph[kind].num_nodes)
        number = torch.bincount(subgraph.edges[relation][2], minlength=len(subgraph.nodes[kind]))
        is_seed = torch.isin(subgraph.nodes[kind], seeds[kind])
        wanted = torch.where(is_seed, degree[subgraph.nodes[kind]].clamp(max=fan_out), 0)
        assert torch.equal(number, wanted)


def test_a_node_that_hears_all_hears_each_edge_once(graph):
    subgraph, _ = plain_subgraph(graph, [10_000])
    number = subgraph.edges[PURCHASES][0]
    assert len(number.unique()) == len(number)


def test_every_node_is_found_once(graph):
    subgraph, seeds = plain_subgraph(graph, [4, 3])
    for kind, nodes in subgraph.nodes.items():
        assert len(nodes.unique()) == len(nodes)
        if kind in seeds:
            assert torch.isin(seeds[kind], nodes).all()


def test_dated_seeds_hear_strictly_earlier_purchases(graph):
    time = torch.arange(len(graph.position)) // 100
    subgraph, _ = plain_subgraph(graph, [4, 3], time)
    for relation in (PURCHASES, PURCHASED_BY):
        number, source, destination = subgraph.edges[relation]
        assert len(number)
        heard_at = subgraph.times[relation[2]][destination]
        assert (time[number] < heard_at).all()
        assert torch.equal(subgraph.times[relation[0]][source], heard_at)
    for kind, nodes in subgraph.nodes.items():
        pairs = torch.stack([nodes, subgraph.times[kind]])
        assert len(pairs.unique(dim=1)[0]) == len(nodes)


def test_both_samplers_are_asked_for_the_same_seeds(graph):
    task = SamplingTask.of(graph, is_dated=True, seed=0)
    own, plain = next(task.own_subgraphs()), next(task.plain_subgraphs())
    for kind in ("customer", "variant"):
        seeds = own.node[kind][: own.num_sampled_nodes[kind][0]]
        assert torch.isin(seeds, plain.nodes[kind]).all()
    assert least_traffic(own) > 32 * sum(len(edges) for edges in own.edge.values())


@pytest.mark.parametrize("has_features", [False, True])
def test_batches_have_features_only_where_asked_for(has_features):
    graph = synthetic_graph(0.001, 0, has_virtual_nodes=False)
    task = SamplingTask.of(graph, is_dated=False, seed=0)
    batch = next(task.own_batches(has_features))
    assert ("x" in batch["customer"]) == has_features
    assert batch[PURCHASES].edge_attr.shape[1] == 2
    _, picked = next(task.plain_batches(has_features))
    assert len(picked) == (6 if has_features else 2)


def test_every_part_is_measured(settings, require_sound):
    case = Sampling()
    measurements = [row for part in case.parts(settings) for row in case.measure(part, settings)]
    require_sound(measurements)
    found = {(row.contender, row.quantity) for row in measurements}
    wanted = {(name, quantity) for name in (OWN, PLAIN) for quantity in (WALL, CPU, RATE)}
    assert wanted | {(ROOFLINE, WALL)} <= found
    cpu, rate = (
        next(row for row in measurements if row.quantity == quantity) for quantity in (CPU, RATE)
    )
    # Fewer events than a batch wants: all of them are its seeds.
    assert rate.values[0] * cpu.values[0] == pytest.approx(2738)
    assert set(case.figures(measurements)) == {case.name}
