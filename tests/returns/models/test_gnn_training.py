"""Training of the graph network: steps that follow the number of processes, bfloat16."""

import threading
from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from data.dataset import index_tables
from returns.dense import DenseEncoder
from returns.models.gnn_batch import BatchMaker, NeighbourEncoder
from returns.models.gnn_network import Architecture, EventNetwork
from returns.models.gnn_training import (
    MOST_GROWTH,
    STEPS_WHERE_GROWN,
    Schedule,
    ahead,
)
from returns.preparation import Preparation
from returns.protocol import Protocol

SCHEDULE = Schedule(epochs=3, learning_rate=1e-3, weight_decay=0.1, batch_size=512, seed=0)


@given(st.integers(1, 4096), st.integers(0, 1 << 20))
def test_one_process_keeps_its_schedule(batch_size, num_events):
    schedule = replace(SCHEDULE, batch_size=batch_size)
    assert schedule.shared_by(1, num_events) == schedule


@given(st.integers(1, 4096), st.integers(2, 64), st.integers(0, 1 << 20))
def test_steps_grow_within_bounds_and_the_learning_rate_with_them(size, processes, num_events):
    schedule = replace(SCHEDULE, batch_size=size)
    shared = schedule.shared_by(processes, num_events)
    growth = shared.batch_size / size
    assert 1 <= growth <= MOST_GROWTH
    assert abs(shared.learning_rate / schedule.learning_rate - growth) < 1e-9
    assert abs(shared.averaged_steps * growth - schedule.averaged_steps) < 1e-6
    if growth > 1:
        assert shared.batch_size <= processes * size
        assert shared.batch_size * STEPS_WHERE_GROWN <= num_events


def test_two_processes_take_a_whole_batch_each_of_enough_events():
    assert SCHEDULE.shared_by(2, 100_000).batch_size == 1024
    assert SCHEDULE.shared_by(2, 1_000).batch_size == 512
    assert replace(SCHEDULE, batch_size=2048).shared_by(2, 1_000_000).batch_size == 4096


def test_the_network_computes_in_bfloat16_nearly_as_in_float32(make_tables):
    """What a GPU does in training; the CPU can show that every operation takes it."""
    dataset, _ = index_tables(make_tables())
    events = Preparation.fit(dataset, Protocol.PAPER).event_set(dataset, "train")
    heard = events.build_neighbourhood(8)
    rows = DenseEncoder().fit(events.features, events.weights)
    neighbours = NeighbourEncoder.fit(heard, events.weights)
    maker = BatchMaker(events, heard, rows, neighbours)
    shape = (rows.width, neighbours.width, maker.relations, maker.is_grouped)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EventNetwork(Architecture(*shape, hidden=16, heads=2, dropout=0, input_dropout=0))
    batch = next(maker.batches(256))
    gradients = []
    for enabled in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            log_odds = network(batch).float()
        log_odds.square().sum().backward()
        gradients.append(torch.cat([each.grad.flatten() for each in network.parameters()]))
    full, half = gradients
    assert half.isfinite().all()
    assert not torch.equal(full, half)
    assert (full - half).norm() < 0.1 * full.norm()


def test_batches_are_made_in_a_second_thread_where_there_are_several(monkeypatch):
    def makers():
        for _ in range(3):
            yield threading.current_thread()

    for place, threads, others in (("cpu", 1, False), ("cpu", 2, True), ("meta", 1, True)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        made = list(ahead(makers(), torch.device(place)))
        assert len(made) == 3
        assert all((maker is not threading.current_thread()) == others for maker in made)
