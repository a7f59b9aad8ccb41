"""The decoder, block by block, against the same decoder on all targets at once."""

import pytest
import torch
from torch import nn

from returns.aggregation import RowGather
from returns.models import pair_decoder
from returns.models.graph_batch import GraphBatch
from returns.models.pair_decoder import PairDecoder

NUM_NODES = {"customer": 40, "variant": 25, "basket": 60}
WIDTH, NUM_COLUMNS, NUM_TARGETS = 6, 5, 300


@pytest.fixture(params=[7, 100, 1000], ids=["many blocks", "whole blocks", "one block"])
def block(request, monkeypatch):
    monkeypatch.setattr(pair_decoder, "BLOCK", request.param)


def make_batch(kinds):
    generator = torch.Generator().manual_seed(0)
    gathers = {
        kind: RowGather.of(
            torch.randint(0, NUM_NODES[kind], (NUM_TARGETS,), generator=generator), NUM_NODES[kind]
        )
        for kind in kinds
    }
    return GraphBatch(
        inputs={},
        levels={},
        relations={},
        baskets=None,
        gathers=gathers,
        events=torch.randn(NUM_TARGETS, NUM_COLUMNS, generator=generator),
        labels=torch.randint(0, 2, (NUM_TARGETS,), generator=generator).float(),
        weights=torch.rand(NUM_TARGETS, generator=generator),
        position=torch.arange(NUM_TARGETS),
    )


def make_states(kinds):
    generator = torch.Generator().manual_seed(1)
    return {
        kind: torch.randn(NUM_NODES[kind], WIDTH, generator=generator, requires_grad=True)
        for kind in kinds
    }


def stock_logits(decoder, states, batch):
    picked = [states[kind][gather.row] for kind, gather in batch.gathers.items()]
    return decoder.rest(decoder.first(torch.cat([*picked, batch.events], dim=1))).squeeze(1)


@pytest.mark.parametrize("kinds", [("customer", "variant"), ("customer", "variant", "basket")])
def test_loss_and_gradients_are_those_of_the_whole(block, kinds):
    torch.manual_seed(0)
    decoder = PairDecoder(len(kinds) * WIDTH, NUM_COLUMNS, 16, 0.0)
    batch, states, stock_states = make_batch(kinds), make_states(kinds), make_states(kinds)
    loss = decoder.loss(states, batch)
    # A gradient from above that is not 1.
    (3 * loss).backward()
    own = [parameter.grad.clone() for parameter in decoder.parameters()]
    decoder.zero_grad()
    stock = nn.functional.binary_cross_entropy_with_logits(
        stock_logits(decoder, stock_states, batch), batch.labels, batch.weights, reduction="sum"
    )
    (3 * stock / batch.weights.sum()).backward()
    torch.testing.assert_close(loss, stock / batch.weights.sum())
    for parameter, gradient in zip(decoder.parameters(), own, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)
    for kind in kinds:
        torch.testing.assert_close(states[kind].grad, stock_states[kind].grad)


def test_logits_are_those_of_the_whole_and_carry_no_gradient(block):
    torch.manual_seed(0)
    kinds = ("customer", "variant")
    decoder = PairDecoder(2 * WIDTH, NUM_COLUMNS, 16, 0.5).eval()
    batch, states = make_batch(kinds), make_states(kinds)
    logits = decoder(states, batch)
    assert not logits.requires_grad
    torch.testing.assert_close(logits, stock_logits(decoder, states, batch).detach())


def test_hidden_states_are_dropped_in_training_alone():
    torch.manual_seed(0)
    kinds = ("customer", "variant")
    decoder = PairDecoder(2 * WIDTH, NUM_COLUMNS, 16, 0.5)
    batch, states = make_batch(kinds), make_states(kinds)
    assert decoder.loss(states, batch) != decoder.loss(states, batch)
    decoder.eval()
    assert decoder.loss(states, batch) == decoder.loss(states, batch)
