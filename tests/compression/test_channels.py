"""Whole channels: what goes together, what stays, and that the smaller model is the same."""

import copy
import sys

import pytest
import torch
from torch import nn

from compression.channels import find_channels
from compression.errors import StructureError, TrainingModeError
from compression.learning import LearnedInverse
from compression.likelihoods import Categorical
from compression.parameters import collect_parameters
from compression.surgeon import Surgeon


class Residual(nn.Module):
    """A shortcut, a depthwise convolution, batch normalisation, and a flattened head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.inner = nn.Conv2d(6, 5, 1)
        self.depthwise = nn.Conv2d(5, 5, 3, padding=1, groups=5)
        self.outer = nn.Conv2d(5, 6, 3, padding=1)
        self.head = nn.Linear(6 * 4, 3)

    def forward(self, images):
        features = torch.relu(self.norm(self.stem(images)))
        features = features + self.outer(torch.relu(self.depthwise(self.inner(features))))
        return self.head(nn.functional.avg_pool2d(torch.relu(features), 2).flatten(1))


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, rows):
        return self.second(self.norm(self.first(rows)))


@pytest.fixture
def images():
    torch.manual_seed(0)
    return [
        (torch.randn(16, 2, 4, 4, dtype=torch.float64), torch.randint(3, (16,))) for _ in range(3)
    ]


@pytest.fixture
def model():
    torch.manual_seed(1)
    made = Residual().double().eval()
    made.norm.running_mean.normal_()
    made.norm.weight.data.uniform_(0.5, 2)
    made.norm.bias.data.normal_()
    return made


def test_what_is_added_up_goes_together(model, images):
    space = collect_parameters(model)
    groups, candidates = find_channels(model, images[0][0], space)
    assert sorted(group.num_channels for group in groups) == [5, 6]
    assert candidates.num_atoms == 11
    stream = next(group for group in groups if group.num_channels == 6)
    assert {(use.name, use.reads) for use in stream.uses} == {
        *(("stem", False), ("norm", False), ("outer", False), ("inner", True), ("head", True))
    }
    first = sum(group.num_channels for group in groups[: groups.index(stream)])
    gone = candidates.without(
        torch.ones(space.size, dtype=torch.bool), torch.arange(11) == first + 2
    )
    views = space.unflatten(~gone)
    for name in ("stem.weight", "norm.weight", "norm.bias", "outer.weight", "outer.bias"):
        rows = views[name].flatten(1) if views[name].dim() > 1 else views[name][:, None]
        assert rows.all(1).tolist() == [False, False, True, False, False, False], name
    assert views["inner.weight"].flatten(2).all(2).all(0).tolist() == rows_of(2, 6)
    assert views["head.weight"].view(3, 6, 4).all(2).all(0).tolist() == rows_of(2, 6)
    assert not views["depthwise.weight"].any()


def rows_of(chosen, number):
    return [row == chosen for row in range(number)]


@pytest.mark.parametrize("family", ["kronecker", "three_factor", "diagonal"])
def test_the_smaller_model_is_the_masked_one(model, images, family):
    curvature = LearnedInverse(family, steps=5, warmup_batches=20)
    surgeon = Surgeon(model, Categorical(), images, curvature, "channel")
    surgeon.fit()
    surgeon.step(0.4)
    assert 0.2 < surgeon.sparsity <= 0.4
    smaller = surgeon.finalize()
    inputs = images[0][0]
    torch.testing.assert_close(smaller(inputs), model(inputs), atol=1e-10, rtol=0)
    count = sum(weight.numel() for weight in smaller.parameters())
    assert count == int(surgeon.mask.sum())
    assert smaller.depthwise.groups == smaller.inner.out_channels


def test_a_channel_that_nothing_needs_goes_first_and_the_rest_stays(model, images):
    with torch.no_grad():
        model.inner.weight[:, 3] = 0
        model.head.weight.view(3, 6, 4)[:, 3] = 0
    before = model(images[0][0])
    curvature = LearnedInverse(steps=5, warmup_batches=20)
    surgeon = Surgeon(model, Categorical(), images, curvature, "channel", exclude=("depthwise*",))
    surgeon.fit()
    surgeon.step(0.25)
    smaller = surgeon.finalize()
    assert not surgeon.masks["stem.weight"][3].any()
    assert smaller.stem.out_channels == 5
    # Without depthwise covered, channels that reach it stay.
    assert smaller.depthwise.groups == 5
    torch.testing.assert_close(smaller(images[0][0]), before, atol=1e-8, rtol=0)


def test_one_channel_of_each_group_stays(model, images):
    surgeon = Surgeon(model, Categorical(), images, LearnedInverse("diagonal", steps=1), "channel")
    surgeon.fit()
    surgeon.step(0.99)
    smaller = surgeon.finalize()
    assert smaller.stem.out_channels == smaller.inner.out_channels == 1
    with torch.no_grad():
        assert smaller(images[0][0]).shape == (16, 3)


def test_compensation_uses_the_channels_that_stay(model, images):
    """A channel that another one doubles can be removed without loss."""
    with torch.no_grad():
        model.inner.weight[4] = model.inner.weight[1]
        model.inner.bias[4] = model.inner.bias[1]
        model.depthwise.weight[4] = model.depthwise.weight[1]
        model.depthwise.bias[4] = model.depthwise.bias[1]
    before = model(images[0][0])
    losses = {}
    for compensation in ("group", "none"):
        from compression.selection import RankAndCompensate

        pruned = copy.deepcopy(model)
        surgeon = Surgeon(
            *(pruned, Categorical(), images, LearnedInverse(steps=1, warmup_batches=300)),
            structure="channel",
            damping=1e-6,
            exclude=("stem*",),
            solver=RankAndCompensate(compensation),
        )
        surgeon.fit()
        surgeon.step(0.22)
        assert surgeon.masks["outer.weight"][0].flatten(1).any(1).sum() == 4
        losses[compensation] = (pruned(images[0][0]) - before).norm().item()
    assert losses["group"] < 0.5 * losses["none"]


def test_channels_that_a_layer_mixes_stay(images):
    model = Normalised().eval()
    rows = [(torch.randn(5, 4), torch.randint(3, (5,)))]
    with pytest.raises(StructureError, match="no channel can be removed"):
        Surgeon(model, Categorical(), rows, structure="channel")


def test_torch_pruning_is_needed_for_channels_only(model, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    Surgeon(model, Categorical(), images)
    with pytest.raises(ImportError, match="pip install torch-pruning"):
        Surgeon(model, Categorical(), images, structure="channel")


def test_channels_are_gone_after_saving_and_back_with_an_earlier_file(model, images, tmp_path):
    def surgeon_of(network):
        curvature = LearnedInverse("kronecker", steps=5, warmup_batches=2)
        return Surgeon(network, Categorical(), images, curvature, structure="channel")

    surgeon, dense = surgeon_of(model), copy.deepcopy(model)
    surgeon.fit()
    surgeon.save(tmp_path / "dense.safetensors")
    surgeon.step(0.4)
    surgeon.save(tmp_path / "pruned.safetensors")
    smaller = surgeon.finalize()
    other = surgeon_of(copy.deepcopy(dense))
    other.load(tmp_path / "pruned.safetensors")
    assert torch.equal(other.mask, surgeon.mask)
    loaded = other.finalize()
    assert loaded.state_dict().keys() == smaller.state_dict().keys()
    assert all(
        torch.equal(value, smaller.state_dict()[name])
        for name, value in loaded.state_dict().items()
    )
    assert smaller.stem.out_channels < dense.stem.out_channels
    surgeon.load(tmp_path / "dense.safetensors")
    assert surgeon.sparsity == 0
    inputs = images[0][0]
    assert torch.equal(model(inputs), dense(inputs))


def test_a_model_in_training_mode_is_refused_before_it_is_run(model, images):
    curvature = LearnedInverse("kronecker", steps=5, warmup_batches=2)
    surgeon = Surgeon(model, Categorical(), images, curvature, structure="channel")
    surgeon.fit()
    surgeon.step(0.4)
    before = model.norm.running_mean.clone()
    model.train()
    with pytest.raises(TrainingModeError):
        surgeon.finalize()
    assert torch.equal(model.norm.running_mean, before)


def test_a_frozen_model_has_channels_too(model, images):
    space = collect_parameters(model)
    expected, _ = find_channels(model, images[0][0], space)
    found, _ = find_channels(model.requires_grad_(False), images[0][0], space)
    assert found == expected
    assert not any(parameter.requires_grad for parameter in model.parameters())
