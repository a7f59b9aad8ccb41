"""Steps of Gauss-Newton and SGD start from the same network; what is measured of them."""

from dataclasses import replace

import pytest
import torch

from gn_study.direction import gn_direction
from pipelines.benchmarks.gauss_newton_step import (
    CONTENDERS,
    DECAYS,
    GAUSS_NEWTON,
    SAME_BATCH,
    SGD,
    GaussNewtonStep,
    Step,
    make_network,
    require_same_direction,
    synthetic_batches,
)
from pipelines.benchmarks.measurement import PEAK, WALL


def test_sizes_are_the_papers_at_scale_one(settings):
    network = make_network(replace(settings, scale=1.0))
    assert sum(parameter.numel() for parameter in network.parameters()) == 12_545_568
    first, second = synthetic_batches(replace(settings, scale=1.0), 0.0)
    assert first.shape == second.shape == (1024, 784)
    assert not torch.equal(first, second)


def test_a_falling_spectrum_makes_features_that_are_truncated(settings):
    settings = replace(settings, scale=0.5)
    kept = {}
    for decay in DECAYS.values():
        inputs, _ = synthetic_batches(settings, decay)
        error = torch.ones(len(inputs), 10)
        _, diagnostics = gn_direction(make_network(settings), inputs, error)
        kept[decay] = diagnostics.half_layers[0].kept_rank / len(inputs)
    assert kept[0.0] == 1
    assert 0.5 < kept[2.0] < 0.9


@pytest.mark.parametrize("contender", CONTENDERS)
def test_a_step_changes_every_trained_weight(settings, contender):
    step = Step(contender, settings, synthetic_batches(settings, 0.0))
    reference = make_network(settings).state_dict()
    assert all(
        torch.equal(value, reference[name]) for name, value in step.network.state_dict().items()
    )
    step()
    for name, value in step.network.named_parameters():
        assert not torch.equal(value, reference[name]), name


def test_batches_take_turns_but_for_the_one_that_comes_again(settings):
    batches = synthetic_batches(settings, 0.0)
    for contender, same in ((GAUSS_NEWTON, False), (SAME_BATCH, True)):
        step, seen = Step(contender, settings, batches), []
        step.network.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        step()
        step()
        assert torch.equal(*seen) == same


def test_routes_that_lead_elsewhere_are_found_out(settings, monkeypatch):
    inputs, _ = synthetic_batches(replace(settings, scale=0.01), 0.0)
    require_same_direction(settings, inputs)
    module = "pipelines.benchmarks.gauss_newton_step.gn_direction"

    def disturbed(network, inputs, error, pseudo_inverse):
        sign = -1 if pseudo_inverse.route == "svd" else 1
        return gn_direction(network, inputs, sign * error)

    monkeypatch.setattr(module, disturbed)
    with pytest.raises(RuntimeError, match="different directions"):
        require_same_direction(settings, inputs)


def test_every_part_is_measured(settings, require_sound):
    case, settings = GaussNewtonStep(), replace(settings, scale=0.01)
    measurements = [row for part in case.parts(settings) for row in case.measure(part, settings)]
    require_sound([row for row in measurements if row.quantity != PEAK])
    for task in DECAYS:
        found = {(row.contender, row.quantity) for row in measurements if row.subject == task}
        assert {(name, what) for name in CONTENDERS for what in (WALL, PEAK)} <= found
        (first, *_) = (row.contender for row in measurements if row.subject == task)
        assert first == SGD
    assert set(case.figures(measurements)) == {case.name}
