"""Which weights are found, where they lie, and what is refused."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from compression.errors import (
    LazyModuleError,
    NothingPrunableError,
    TiedWeightsError,
    TrainingModeError,
    UnsupportedLayerError,
)
from compression.parameters import Kind, collect_parameters, require_evaluation_mode


def test_weights_are_prunable_and_what_stands_beside_them_is_covered():
    model = nn.Sequential(
        nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(6, 2, bias=False)
    )
    space = collect_parameters(model)
    assert [slot.name for slot in space.slots] == [
        *("0.weight", "0.bias", "1.weight", "1.bias"),
        "3.weight",
    ]
    assert [slot.kind for slot in space.slots] == [
        *(Kind.CONVOLUTION, Kind.BIAS, Kind.VECTOR, Kind.VECTOR),
        Kind.MATRIX,
    ]
    assert space.slot("0.weight").groups == 2
    assert space.size == sum(parameter.numel() for parameter in model.parameters())
    assert space.num_prunable == model[0].weight.numel() + model[3].weight.numel()
    assert set(space.layers) == {"0", "1", "3"}


def test_vectors_and_models_go_back_and_forth():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    space = collect_parameters(model)
    before = space.read(model)
    vector = torch.randn(space.size)
    space.write(model, vector)
    torch.testing.assert_close(space.read(model), vector, atol=0, rtol=0)
    torch.testing.assert_close(space.flatten(space.unflatten(before)), before, atol=0, rtol=0)
    torch.testing.assert_close(model[0].weight, space.unflatten(vector)["0.weight"])


def test_a_bias_that_is_registered_first_lies_behind_its_weight():
    model = nn.Linear(3, 2)
    weight, bias = model.weight, model.bias
    del model.weight, model.bias
    model.bias, model.weight = bias, weight
    assert [slot.name for slot in collect_parameters(model).slots] == ["weight", "bias"]


def test_attention_is_three_stacked_maps():
    space = collect_parameters(nn.MultiheadAttention(4, 2))
    assert space.slot("in_proj_weight").groups == 3
    assert space.slot("in_proj_bias").kind is Kind.BIAS
    other = collect_parameters(nn.MultiheadAttention(4, 2, kdim=3, vdim=5, add_bias_kv=True))
    assert other.slot("k_proj_weight").shape == (4, 3)
    assert other.slot("in_proj_bias").kind is Kind.VECTOR
    assert not other.slot("bias_k").is_prunable


def test_patterns_choose():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    names = [slot.name for slot in collect_parameters(model, include=("*.weight",)).slots]
    assert names == ["0.weight", "1.weight"]
    names = [slot.name for slot in collect_parameters(model, exclude=("1.*",)).slots]
    assert names == ["0.weight", "0.bias"]


def test_padding_rows_stay():
    space = collect_parameters(nn.Embedding(5, 3, padding_idx=2))
    expected = torch.ones(5, 3, dtype=torch.bool)
    expected[2] = False
    assert torch.equal(space.prunable, expected.flatten())


def test_vectors_take_the_widest_dtype():
    model = nn.Sequential(nn.Linear(3, 4).half(), nn.LayerNorm(4))
    space = collect_parameters(model)
    assert space.dtype is torch.float32
    space.write(model, torch.ones(space.size))
    assert model[0].weight.dtype is torch.float16


class Own(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.table = nn.Parameter(torch.zeros(*shape))


def test_an_unsupported_weight_is_named_and_can_be_left_out():
    for model, name in ((nn.LSTM(3, 4), "weight_ih_l0"), (Own(2, 3), "table")):
        with pytest.raises(UnsupportedLayerError, match=name):
            collect_parameters(nn.Sequential(nn.Linear(2, 2), model))
    space = collect_parameters(Own(2, 3), exclude=("table",))
    assert [slot.name for slot in space.slots] == ["linear.weight", "linear.bias"]
    with pytest.raises(UnsupportedLayerError, match="Embedding"):
        collect_parameters(nn.Embedding(4, 2, max_norm=1.0))


def test_lone_vectors_of_unknown_modules_are_left_alone():
    assert collect_parameters(Own(3)).size == 6


def test_masks_of_torch_prune_must_be_made_permanent_first():
    model = nn.Linear(3, 2)
    prune.random_unstructured(model, "weight", 0.5)
    with pytest.raises(UnsupportedLayerError, match=r"prune\.remove"):
        collect_parameters(model)


def test_tied_weights_are_refused_by_both_names():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    model[1].weight = model[0].weight
    with pytest.raises(TiedWeightsError, match=r"0\.weight and 1\.weight"):
        collect_parameters(model)
    shared = nn.Linear(3, 3)
    with pytest.raises(TiedWeightsError):
        collect_parameters(nn.Sequential(shared, nn.ReLU(), shared))


def test_lazy_modules_are_refused_until_built():
    model = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d())
    with pytest.raises(LazyModuleError, match=r"0\.weight"):
        collect_parameters(model)
    model(torch.zeros(2, 3))
    assert collect_parameters(model).num_prunable == 12


def test_nothing_prunable_is_refused():
    with pytest.raises(NothingPrunableError):
        collect_parameters(nn.LayerNorm(3))
    with pytest.raises(NothingPrunableError, match=r"none\.\*"):
        collect_parameters(nn.Linear(3, 2), include=("none.*",))


def test_training_mode_is_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).eval()
    require_evaluation_mode(model)
    model[1].train()
    with pytest.raises(TrainingModeError, match=r"1 is in training mode"):
        require_evaluation_mode(model)
