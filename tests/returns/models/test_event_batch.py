import numpy as np
import pytest
import torch

from data.dataset import index_tables
from data.reporter import SilentReporter
from returns.models.gnn import GNN
from returns.preparation import Preparation
from returns.protocol import Protocol


@pytest.fixture
def model_and_batch(make_tables):
    dataset, _ = index_tables(make_tables())
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    train = preparation.event_set(dataset, "train")
    model = GNN(members=2, epochs=1, hidden=16, heads=4)
    model.fit(train, preparation.event_set(dataset, "validation"), SilentReporter())
    batch, _ = next(model.mini_batches(train, 300, np.random.default_rng(0)))
    return model, batch


def test_pieces_are_whole_groups_in_order(model_and_batch):
    _, batch = model_and_batch
    pieces = list(batch.pieces(16))
    assert len(pieces) > 5
    stop = 0
    for piece, at in pieces:
        assert at.start == stop
        stop = at.stop
        assert torch.equal(piece.positions, batch.positions[at])
        if batch.group is None:
            assert len(piece.rows) == 16
        else:
            assert 16 <= len(piece.rows) < 16 + int(torch.bincount(batch.group).max())
            # Nobody is parted from the others of the group.
            assert not np.isin(batch.group[at].numpy(), batch.group[stop:].numpy()).any()
            assert int(piece.group.max()) + 1 == len(torch.unique(piece.group))
    assert len(batch.rows) - stop < 16


def test_a_piece_is_scored_as_in_its_batch(model_and_batch):
    model, batch = model_and_batch
    network = model.network.eval()
    with torch.inference_mode():
        whole = network(batch)
        for piece, at in batch.pieces(16):
            torch.testing.assert_close(network(piece), whole[at], rtol=1e-5, atol=1e-6)


def test_a_batch_moves_only_where_it_is_not(model_and_batch):
    _, batch = model_and_batch
    assert batch.to(torch.device("cpu")) is batch
    moved = batch.to(torch.device("meta"))
    assert moved.rows.is_meta
    assert all(each.features.is_meta for each in moved.relations.values())
