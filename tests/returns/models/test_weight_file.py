import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from returns.models.weight_file import SHAPES, VALUES, read_weights, write_weights


def bits(weights):
    return {name: weight.numpy().tobytes() for name, weight in weights.items()}


def pruned(seed, share_kept):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(40, 30, generator=generator)
    weight[torch.rand(40, 30, generator=generator) > share_kept] = 0
    return {"layer.weight": weight, "layer.bias": torch.randn(40, generator=generator)}


shape = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
floats = st.floats(width=32, allow_nan=True) | st.sampled_from([0.0, -0.0])


names = st.text(min_size=1, max_size=4)
weight = arrays.arrays(np.float32, shape, elements=floats)


@given(st.dictionaries(names, weight, min_size=1, max_size=4))
def test_every_bit_comes_back(tmp_path_factory, drawn):
    weights = {name: torch.from_numpy(np.array(values)) for name, values in drawn.items()}
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    write_weights(weights, path)
    found = read_weights(path)
    assert bits(found) == bits(weights)
    assert {name: each.shape for name, each in found.items()} == {
        name: each.shape for name, each in weights.items()
    }


@pytest.mark.parametrize(("share_kept", "most"), [(0.1, 0.2), (0.05, 0.15)])
def test_a_pruned_file_is_as_small_as_its_bits_and_weights(tmp_path, share_kept, most):
    weights = pruned(0, share_kept)
    write_weights(weights, tmp_path / "pruned")
    dense = sum(weight.nbytes for weight in weights.values())
    with safe_open(tmp_path / "pruned", framework="pt") as file:
        stored = sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118
        assert json.loads(file.metadata()[SHAPES]) == {"layer.weight": [40, 30], "layer.bias": [40]}
    assert stored < most * dense + 40 * 4


def test_a_dense_model_is_written_as_ever(tmp_path):
    weights = pruned(0, 1.0)
    write_weights(weights, tmp_path / "own")
    save_file(weights, tmp_path / "stock")
    assert (tmp_path / "own").read_bytes() == (tmp_path / "stock").read_bytes()


def test_weights_of_several_types_are_written_as_ever(tmp_path):
    weights = pruned(0, 0.1)
    weights["layer.bias"] = weights["layer.bias"].double()
    write_weights(weights, tmp_path / "mixed")
    assert set(load_file(tmp_path / "mixed")) == set(weights)
    assert bits(read_weights(tmp_path / "mixed")) == bits(weights)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "pruned"
    write_weights(pruned(0, 0.1), path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors[VALUES] = tensors[VALUES][:-1].contiguous()
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(ValueError, match="damaged"):
        read_weights(path)
