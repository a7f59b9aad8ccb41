"""Auxiliary and training steps of one network; what is measured of them."""

from dataclasses import replace

import pytest
import torch

from compression.parameters import collect_parameters
from pipelines.benchmarks.measurement import PEAK, WALL
from pipelines.benchmarks.pruning import (
    AUXILIARY,
    CONTENDERS,
    HELD,
    TASKS,
    TRAINING,
    AuxiliaryStep,
    Pruning,
    TrainingStep,
)


def test_networks_and_batches_are_the_papers_at_scale_one(settings):
    settings = replace(settings, scale=1.0)
    sizes = {}
    for name, task in TASKS.items():
        size = collect_parameters(task.network(settings)).size
        sizes[name] = (size, len(task.drawn_batch(settings)[1]))
    assert list(sizes.values()) == [(11_173_962, 128), (32_360, 500)]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_steps_change_what_they_should(settings, task):
    settings = replace(settings, scale=0.05)
    batch = task.drawn_batch(settings)
    training = TrainingStep(task, settings, batch)
    first = next(training.network.parameters())
    before = first.clone()
    training()
    assert not torch.equal(first, before)
    auxiliary = AuxiliaryStep(task, settings, batch)
    network = auxiliary.curvature.problem.model
    weights = auxiliary.curvature.problem.space.read(network)
    diagonals = [auxiliary.curvature.inverse_diagonal()]
    for _ in range(2):
        auxiliary()
        diagonals.append(auxiliary.curvature.inverse_diagonal())
    assert not torch.equal(diagonals[0], diagonals[1])
    assert not torch.equal(diagonals[1], diagonals[2])
    assert torch.equal(auxiliary.curvature.problem.space.read(network), weights)


def test_what_is_held_counts_factors_and_moments(settings):
    task = TASKS["MLPNet, Kronecker"]
    step = AuxiliaryStep(task, settings, task.drawn_batch(settings))
    step()
    factors = sum(value.numel() for value in step.curvature.operator.parameters())
    assert step.held_gib() == pytest.approx(3 * 4 * factors / 2**30, rel=0.01)


def test_every_part_is_measured(settings, require_sound):
    case, settings = Pruning(), replace(settings, scale=0.03)
    measurements = [row for part in case.parts(settings) for row in case.measure(part, settings)]
    require_sound([row for row in measurements if row.quantity != PEAK])
    for task in TASKS:
        found = {(row.contender, row.quantity) for row in measurements if row.subject == task}
        assert {(name, what) for name in CONTENDERS for what in (WALL, PEAK)} <= found
        assert (AUXILIARY, HELD) in found
        (first, *_) = (row.contender for row in measurements if row.subject == task)
        assert first == TRAINING
    assert set(case.figures(measurements)) == {case.name}
