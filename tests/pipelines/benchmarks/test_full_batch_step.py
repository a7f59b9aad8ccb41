"""Our network and the one in stock PyG are the same function with the same gradient."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipelines.benchmarks.full_batch_step import (
    HAS_VIRTUAL_NODES,
    OWN,
    STOCK,
    FullBatchStep,
    least_arithmetic,
    least_traffic,
    make_steps,
    require_same_output,
)
from pipelines.benchmarks.measurement import PEAK, ROOFLINE, WALL
from pipelines.benchmarks.stock_network import StockNetwork
from pipelines.benchmarks.synthetic_graph import (
    EVENT_WIDTH,
    VIRTUAL_NODES,
    synthetic_columns,
    synthetic_graph,
)
from returns.graph import PURCHASED_BY, PURCHASES
from returns.models.sage_network import Architecture

SCALE = 0.001


@pytest.fixture(params=[False, True], ids=["purchases alone", "with virtual nodes"])
def steps(request):
    graph = synthetic_graph(SCALE, 0, request.param)
    torch.manual_seed(0)
    return make_steps(graph, synthetic_columns(graph, 0), (OWN, STOCK))


def test_the_synthetic_graph_has_every_event_as_message_and_target():
    graph = synthetic_graph(SCALE, 0, True)
    assert graph["customer"].num_nodes == 810
    assert graph["variant"].num_nodes == 433
    purchases = graph[PURCHASES]
    assert purchases.edge_index.shape == (2, 1369)
    assert torch.equal(purchases.edge_index, purchases.edge_label_index)
    assert torch.equal(graph[PURCHASED_BY].edge_index, purchases.edge_index.flip(0))
    for end, kind in enumerate(("customer", "variant")):
        assert len(purchases.edge_index[end].unique()) == graph[kind].num_nodes
    assert {virtual.kind for virtual in VIRTUAL_NODES} < set(graph.node_types)
    assert synthetic_columns(graph, 0).shape == (1369, EVENT_WIDTH)
    graph.validate()


def test_both_networks_have_the_same_output(steps):
    logits = {}
    for name, step in steps.items():
        step.network.eval()
        logits[name] = step.logits().detach()
    assert logits[OWN].std() > 0.01
    torch.testing.assert_close(logits[OWN], logits[STOCK], rtol=1e-4, atol=1e-5)
    require_same_output(steps)


def test_both_networks_have_the_same_loss_and_gradients(steps):
    for step in steps.values():
        step.network.eval()
        step.network.zero_grad()
        step.loss().backward()
    own, stock = steps[OWN].network, steps[STOCK].network
    torch.testing.assert_close(steps[OWN].loss(), steps[STOCK].loss())
    # The order of a sum's terms differs: what is nearly 0 in all may differ by more than its share.
    near = {"rtol": 1e-3, "atol": 1e-6}
    for kind, linear in own.inputs.items():
        torch.testing.assert_close(linear.weight.grad, stock.inputs[kind].weight.grad, **near)
    torch.testing.assert_close(own.decoder.first.weight.grad, stock.decoder[0].weight.grad, **near)
    for layer, convolution in zip(own.layers, stock.rounds, strict=True):
        for relation in layer.relations:
            torch.testing.assert_close(
                layer.heard["__".join(relation)].weight.grad,
                convolution.convs[relation].lin_l.weight.grad,
                **near,
            )


def test_other_weights_are_found_out(steps):
    with torch.no_grad():
        steps[STOCK].network.decoder[0].bias += 1
    with pytest.raises(RuntimeError, match="differ"):
        require_same_output(steps)


def test_a_step_changes_every_weight(steps):
    for step in steps.values():
        before = {name: weight.clone() for name, weight in step.network.named_parameters()}
        step()
        for name, weight in step.network.named_parameters():
            assert not torch.equal(weight, before[name]), name


def test_stock_is_written_for_graphs_without_baskets():
    architecture = Architecture({}, {}, (), 1, True, 4, 4, 1, 0.0)
    with pytest.raises(ValueError, match="without baskets"):
        StockNetwork(architecture)


def test_every_part_is_measured(settings, require_sound):
    case = FullBatchStep()
    measurements = [row for part in case.parts(settings) for row in case.measure(part, settings)]
    require_sound(measurements)
    for subject in HAS_VIRTUAL_NODES:
        found = {(row.contender, row.quantity) for row in measurements if row.subject == subject}
        wanted = {(OWN, WALL), (STOCK, WALL), (ROOFLINE, WALL), (OWN, PEAK), (STOCK, PEAK)}
        assert wanted <= found
    assert set(case.figures(measurements)) == {case.name}


@pytest.mark.parametrize("has_virtual_nodes", [False, True])
def test_arithmetic_is_what_torch_counts(has_virtual_nodes):
    graph = synthetic_graph(SCALE, 0, has_virtual_nodes)
    columns = synthetic_columns(graph, 0)
    step = make_steps(graph, columns, [OWN])[OWN]
    with FlopCounterMode(display=False) as counter:
        step()
    # torch leaves out products that are added in place: of events by their nodes' states.
    left_out = 2 * len(columns) * 2 * 32 * 64
    assert least_arithmetic(graph, columns) == counter.get_total_flops() + left_out


def test_traffic_grows_with_nodes_edges_and_events():
    small, large, virtual = (
        synthetic_graph(scale, 0, has_virtual_nodes)
        for scale, has_virtual_nodes in ((SCALE, False), (2 * SCALE, False), (SCALE, True))
    )
    small, large, virtual = (
        least_traffic(graph, synthetic_columns(graph, 0)) for graph in (small, large, virtual)
    )
    assert large == pytest.approx(2 * small, rel=0.01)
    assert virtual > small
