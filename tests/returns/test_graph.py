import numpy as np
import pytest
import torch

from data.dataset import Dataset
from returns.graph import PURCHASED_BY, PURCHASES, GraphBuilder
from returns.protocol import Protocol
from returns.snapshots import snapshots


def build(dataset: Dataset, protocol: Protocol, split: str):
    train = np.flatnonzero(dataset.split_mask("train"))
    builder = GraphBuilder.fit(dataset, protocol, train, day=0)
    targets = np.flatnonzero(dataset.split_mask(split))
    cut = snapshots(dataset, protocol, split, targets)[-1]
    return builder.build(dataset, cut, np.arange(len(cut.targets))), cut


@pytest.mark.parametrize("source", ["undated", "dated"])
@pytest.mark.parametrize("protocol", list(Protocol))
def test_graph_is_valid_and_its_ends_are_the_events_nodes(request, source, protocol):
    dataset = request.getfixturevalue(source)
    graph, cut = build(dataset, protocol, "train")
    assert graph.validate(raise_on_error=True)
    for kind, ends in zip(("customer", "variant"), graph[PURCHASES].edge_index, strict=True):
        nodes = dataset.events[kind].to_numpy()
        # Local numbering is ascending in the dataset's, so equal nodes stay equal.
        everyone = np.unique(np.concatenate([nodes[cut.messages], nodes[cut.targets]]))
        assert np.array_equal(everyone[ends.numpy()], nodes[cut.messages])
    assert torch.equal(graph[PURCHASED_BY].edge_index, graph[PURCHASES].edge_index.flip(0))


def test_messages_carry_their_labels_and_targets_do_not(undated):
    graph, cut = build(undated, Protocol.STRICT, "test")
    returned = undated.events["returned"].to_numpy()
    expected = np.stack([np.ones(len(cut.messages)), returned[cut.messages]], axis=1)
    assert np.array_equal(graph[PURCHASES].edge_attr.numpy(), expected)
    assert np.array_equal(graph[PURCHASES].edge_label.numpy(), returned[cut.targets])


def test_paper_messages_carry_no_label(undated):
    graph, _ = build(undated, Protocol.PAPER, "test")
    assert (graph[PURCHASES].edge_attr == 0).all()


def test_virtual_nodes_connect_members_to_their_level(undated):
    graph, cut = build(undated, Protocol.STRICT, "train")
    variants = np.unique(undated.events["variant"].to_numpy()[np.r_[cut.messages, cut.targets]])
    rows = undated.variants.select(["variant", "product"]).to_pylist()
    product_of = {row["variant"]: row["product"] for row in rows}
    member, level = graph["variant", "belongs_to", "product"].edge_index.numpy()
    for node, product in zip(variants[member], graph["product"].level[level], strict=True):
        assert str(product_of[node]) == product
    assert (graph["variant"].has_row.numpy() == [v in product_of for v in variants]).all()


def test_aggregates_reach_the_nodes_under_the_paper_protocol_alone(undated):
    strict, _ = build(undated, Protocol.STRICT, "train")
    paper, _ = build(undated, Protocol.PAPER, "train")
    assert paper["customer"].x.shape[1] > strict["customer"].x.shape[1]


def test_baskets_hold_their_lines(dated):
    graph, cut = build(dated, Protocol.STRICT, "test")
    basket = dated.events["basket"].to_numpy()[cut.targets]
    assert graph["basket"].num_nodes == len(np.unique(basket))
    same = basket[:, None] == basket[None, :]
    local = graph.target_basket.numpy()
    assert np.array_equal(local[:, None] == local[None, :], same)


def test_a_builder_survives_json(undated):
    train = np.flatnonzero(undated.split_mask("train"))
    builder = GraphBuilder.fit(undated, Protocol.STRICT, train, day=0)
    again = GraphBuilder.from_json(builder.to_json())
    test = np.flatnonzero(undated.split_mask("test"))
    (cut,) = snapshots(undated, Protocol.STRICT, "test", test)
    positions = np.arange(len(cut.targets))
    first, second = (b.build(undated, cut, positions) for b in (builder, again))
    assert torch.equal(first["customer"].x, second["customer"].x)
    assert torch.equal(first["variant"].x, second["variant"].x)


def test_a_node_without_a_row_shows_nothing(undated):
    graph, _ = build(undated, Protocol.STRICT, "train")
    for kind in ("customer", "variant"):
        missing = ~graph[kind].has_row
        assert missing.any()
        assert (graph[kind].x[missing] == 0).all()
        assert (graph[kind].x[~missing] != 0).any(dim=1).all()
