"""Statistics of batch normalisation, measured again."""

import pytest
import torch
from torch import nn

from compression.errors import ExhaustedLoaderError
from compression.normalisation import reestimate


@pytest.fixture
def loader():
    torch.manual_seed(0)
    return [(torch.randn(50, 3) * 2 + 1, torch.zeros(50)) for _ in range(4)]


def test_statistics_become_those_of_the_data_and_modes_stay(loader):
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(3, momentum=0.3), nn.Linear(3, 2)).eval()
    model[2].train()
    before = model[2].weight.clone()
    reestimate(model, loader)
    data = torch.stack([inputs for inputs, _ in loader])
    torch.testing.assert_close(model[1].running_mean, data.mean((0, 1)))
    torch.testing.assert_close(model[1].running_var, data.var(1).mean(0))
    assert [module.training for module in model] == [False, False, True]
    assert model[1].momentum == 0.3
    assert torch.equal(model[2].weight, before)


def test_only_so_many_batches_are_taken(loader):
    model = nn.BatchNorm1d(3).eval()
    reestimate(model, loader, num_batches=1)
    torch.testing.assert_close(model.running_mean, loader[0][0].mean(0))
    with pytest.raises(ExhaustedLoaderError):
        reestimate(model, loader, num_batches=5)
    assert not model.training


def test_statistics_are_as_before_if_the_loader_runs_dry(loader):
    model = nn.BatchNorm1d(3).eval()
    reestimate(model, loader)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ExhaustedLoaderError):
        reestimate(model, loader[:2], num_batches=3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_models_without_statistics_are_left_alone():
    reestimate(nn.Linear(2, 2), [])
    reestimate(nn.BatchNorm1d(2, track_running_stats=False), [])
