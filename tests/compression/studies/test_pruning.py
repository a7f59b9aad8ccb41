from dataclasses import replace

import pytest
import torch
from torch import nn

from compression.errors import DivergedError
from compression.likelihoods import Categorical
from compression.schedules import cubic
from compression.studies.methods import METHODS, Setting
from compression.studies.pruning import FittedOnce, Subject, prune_in_stages

SETTING = Setting(damping=1e-2, num_gradients=20, group=2)


@pytest.fixture
def subject():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 10, bias=False), nn.ReLU(), nn.Linear(10, 5)).eval()
    inputs = torch.randn(60, 6)
    targets = inputs[:, :5].argmax(dim=1)
    return Subject(
        network, Categorical(), list(zip(inputs.split(20), targets.split(20), strict=True))
    )


def weights_of(network):
    return torch.nn.utils.parameters_to_vector(network.parameters()).detach()


def test_each_sparsity_is_pruned_from_the_dense_network(subject):
    method = METHODS["chita"]
    both = FittedOnce(subject, method, SETTING, seed=0)
    high, low = both.pruned(0.9), both.pruned(0.5)
    alone = FittedOnce(subject, method, SETTING, seed=0).pruned(0.5)
    assert high.sparsity == pytest.approx(0.9, abs=0.01)
    assert low.sparsity == pytest.approx(0.5, abs=0.01)
    assert torch.equal(weights_of(low.network), weights_of(alone.network))
    assert low.seconds > 0


def test_the_size_of_the_estimate_is_that_of_its_tensors(subject):
    pruned = FittedOnce(subject, METHODS["chita"], SETTING, seed=0).pruned(0.5)
    size = 4 * 20 * len(weights_of(subject.network))
    assert pruned.curvature_mib == pytest.approx(size / 2**20)


def test_one_stage_is_at_once(subject):
    method = METHODS["woodfisher"]
    staged = prune_in_stages(subject, method, SETTING, 0.6, stages=1, seed=0)
    at_once = FittedOnce(subject, method, SETTING, seed=0).pruned(0.6)
    assert torch.equal(weights_of(staged.network), weights_of(at_once.network))


def test_stages_reach_the_sparsity_on_another_way(subject):
    method = METHODS["chita_first_order"]
    staged = prune_in_stages(subject, method, SETTING, 0.8, stages=4, seed=0)
    at_once = FittedOnce(subject, method, SETTING, seed=0).pruned(0.8)
    assert staged.sparsity == pytest.approx(0.8, abs=0.01)
    assert not torch.equal(weights_of(staged.network), weights_of(at_once.network))


def test_a_network_is_fine_tuned_after_each_stage_of_the_cubic_schedule(subject):
    seen = []

    def fine_tune(network):
        assert network.training
        weight = network[2].weight
        seen.append(float((weights_of(network) == 0).double().mean()))
        with torch.no_grad():
            weight[weight != 0] += 0.01

    tuned = replace(subject, fine_tune=fine_tune)
    pruned = prune_in_stages(tuned, METHODS["magnitude"], SETTING, 0.8, 3, seed=0)
    assert pruned.sparsity == pytest.approx(0.8, abs=0.01)
    assert not pruned.network.training
    plain = prune_in_stages(subject, METHODS["magnitude"], SETTING, 0.8, 3, seed=0)
    assert not torch.equal(weights_of(pruned.network), weights_of(plain.network))
    prunable = subject.network[0].weight.numel() + subject.network[2].weight.numel()
    zeros = [share * len(weights_of(subject.network)) / prunable for share in seen]
    assert zeros == pytest.approx(cubic(0.8, 3), abs=0.01)


def test_excluded_layers_stay_dense(subject):
    some = Subject(subject.network, subject.likelihood, subject.loader, exclude=("2.*",))
    pruned = FittedOnce(some, METHODS["magnitude"], SETTING, seed=0).pruned(0.9)
    assert torch.equal(pruned.network[2].weight, subject.network[2].weight)


def test_a_loss_that_is_not_finite_is_said(subject):
    with torch.no_grad():
        subject.network[2].bias[0] = torch.nan
    with pytest.raises(DivergedError):
        FittedOnce(subject, METHODS["chita"], SETTING, seed=0)


def test_stages_see_the_statistics_of_the_pruned_network_measured_again(subject):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(6, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 5)
    ).eval()
    stale = Subject(network, Categorical(), subject.loader)
    fresh = Subject(network, Categorical(), subject.loader, normalisation_batches=3)
    ended = [
        prune_in_stages(one, METHODS["magnitude"], SETTING, 0.8, 3, seed=0).network[1]
        for one in (stale, fresh)
    ]
    assert torch.equal(ended[0].running_mean, network[1].running_mean)
    assert not torch.equal(ended[1].running_mean, network[1].running_mean)
