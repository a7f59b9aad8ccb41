"""Quantised networks: on the grid exactly, cheaper than rounding to the nearest, stored packed."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from compression.errors import DivergedError, NotFittedError, TrainingModeError
from compression.greedy import GreedyByRow
from compression.learning import LearnedInverse
from compression.likelihoods import Categorical, Gaussian
from compression.quantisation import largest_code
from compression.quantised_files import load_quantised, pack, save_quantised, unpack
from compression.rivals.block import BlockFisher
from compression.rivals.diagonal import DiagonalFisher
from compression.rivals.layerwise import LayerwiseHessian
from compression.rivals.low_rank import LowRankFisher
from compression.rivals.magnitude import Magnitude
from compression.surgeon import Surgeon

WIDTH, OUTPUTS = 24, 6


@pytest.fixture(scope="module")
def loader():
    """Synthetic inputs of eight factors and noise, so that weights can make up for each other."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(4, 64, 8, generator=generator, dtype=torch.float64)
    mixing = torch.randn(8, WIDTH, generator=generator, dtype=torch.float64) / 8**0.5
    noise = torch.randn(4, 64, WIDTH, generator=generator, dtype=torch.float64) / 10
    targets = torch.randn(4, 64, OUTPUTS, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        # Drawn from the model itself, so that gradients at them tell of the Fisher matrix.
        return [
            (batch, linear()(batch) + one)
            for batch, one in zip(factors @ mixing + noise, targets, strict=True)
        ]


def linear(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Linear(WIDTH, OUTPUTS).to(dtype).eval()


def convolutional():
    """Odd widths: 3 inputs of a 3 x 3 kernel, 7 outputs."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.ReLU(), nn.Conv2d(7, 5, 3), nn.Flatten()),
        nn.Linear(20, 3),
    ).eval()


def pictures():
    torch.manual_seed(1)
    return [(torch.randn(16, 3, 6, 6), torch.randint(3, (16,))) for _ in range(3)]


def change_of_outputs(model, before, loader):
    with torch.no_grad():
        squares = [(model(inputs) - before(inputs)).square().sum(1).mean() for inputs, _ in loader]
    return torch.stack(squares).mean().item()


def quantise(loader, curvature, bits, compensate=True, group_size=None):
    """The mean squared change of a linear model's outputs: exactly twice the quadratic loss."""
    model, before = linear(), linear()
    surgeon = Surgeon(model, Gaussian(), loader, curvature, damping=1e-3)
    if compensate:
        surgeon.fit()
    surgeon.quantise(bits, group_size, compensate)
    return change_of_outputs(model, before, loader)


CURVATURES = {
    "full": lambda: LearnedInverse("full", steps=60, learning_rate=3e-3),
    "kronecker": lambda: LearnedInverse("kronecker", steps=30),
    "three_factor": lambda: LearnedInverse("three_factor", steps=30),
    "block": lambda: LearnedInverse("block", steps=30),
    "block_fisher": lambda: BlockFisher(WIDTH, 200),
    "layerwise": LayerwiseHessian,
    "mfac": lambda: LowRankFisher(200, 1),
}


@pytest.mark.parametrize("curvature", CURVATURES)
def test_a_quadratic_is_lower_than_with_the_nearest_multiples(loader, curvature):
    """The loss of a linear Gaussian model is its second-order model, so this is no estimate."""
    nearest = quantise(loader, Magnitude(), 4, compensate=False)
    assert quantise(loader, CURVATURES[curvature](), 4) < 0.7 * nearest


@pytest.mark.parametrize("curvature", ["full", "kronecker", "layerwise", "mfac"])
def test_pruned_weights_stay_at_zero_and_help_no_more(loader, curvature):
    model = linear()
    surgeon = Surgeon(model, Gaussian(), loader, CURVATURES[curvature](), damping=1e-3)
    surgeon.fit()
    masks = surgeon.step(0.3)
    surgeon.refine()
    pruned = copy.deepcopy(model)
    weights = surgeon.quantise(4)
    removed = ~masks["weight"]
    assert not model.weight[removed].any()
    assert not model.weight[removed].signbit().any()
    assert not weights["weight"].codes[removed].any()
    compensated = change_of_outputs(model, pruned, loader)
    other = Surgeon(copy.deepcopy(pruned), Gaussian(), loader, Magnitude())
    other.quantise(4, compensate=False)
    assert compensated < 0.8 * change_of_outputs(other.model, pruned, loader)


@pytest.mark.parametrize("curvature", [Magnitude, lambda: DiagonalFisher(32)])
def test_what_only_ranks_rounds_to_the_nearest(loader, curvature):
    model = linear()
    surgeon = Surgeon(model, Gaussian(), loader, curvature())
    surgeon.fit()
    weight = surgeon.quantise(4)["weight"]
    scale = weight.scales
    nearest = (linear().weight / scale).round().clamp(-7, 7) * scale
    torch.testing.assert_close(model.weight, nearest, atol=0, rtol=0)
    assert torch.equal(model.bias, linear().bias)


def test_smaller_groups_are_more_exact_and_more_bits_too(loader):
    by_group = [quantise(loader, Magnitude(), 4, False, size) for size in (None, 12, 4)]
    assert by_group == sorted(by_group, reverse=True)
    assert quantise(loader, Magnitude(), 8, False) < by_group[0] / 50


@pytest.mark.parametrize("family", ["diagonal", "block", "kronecker", "three_factor", "full"])
@pytest.mark.parametrize(("bits", "group_size"), [(8, None), (4, 5), (3, 64)])
def test_networks_are_on_the_grid_and_come_back_bit_for_bit(tmp_path, family, bits, group_size):
    model = convolutional()
    curvature = LearnedInverse(family, steps=3, warmup_batches=3)
    surgeon = Surgeon(model, Categorical(), pictures(), curvature, damping=0.1)
    surgeon.fit()
    surgeon.step(0.3)
    weights = surgeon.quantise(bits, group_size)
    assert set(weights) == {"0.weight", "3.weight", "5.weight"}
    for name, weight in weights.items():
        parameter = model.get_parameter(name)
        width = parameter[0].numel()
        assert weight.codes.abs().max() <= largest_code(bits)
        assert weight.scales.shape == (len(parameter), -(-width // (group_size or width)))
        for group, scale in enumerate(weight.scales.T):
            size = group_size or width
            columns = slice(group * size, (group + 1) * size)
            codes = weight.codes.flatten(1)[:, columns]
            assert torch.equal(parameter.flatten(1)[:, columns], codes * scale[:, None])
    path = tmp_path / "quantised.safetensors"
    save_quantised(path, model, weights)
    other = convolutional()
    nn.init.zeros_(other[5].bias)
    loaded = load_quantised(path, other)
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    for name, weight in weights.items():
        assert torch.equal(loaded[name].codes, weight.codes)
        assert torch.equal(loaded[name].scales, weight.scales)
        assert (loaded[name].bits, loaded[name].group_size) == (bits, group_size)
    assert torch.equal(surgeon.finalize()(pictures()[0][0]), other(pictures()[0][0]))


def test_packed_files_are_small(tmp_path):
    model = nn.Linear(1000, 100, bias=False).eval()
    surgeon = Surgeon(model, Gaussian(), [(torch.zeros(1, 1000), torch.zeros(1, 100))], "magnitude")
    sizes = {}
    for bits in (8, 4):
        save_quantised(tmp_path / "model", model, surgeon.quantise(bits, compensate=False))
        sizes[bits] = (tmp_path / "model").stat().st_size
    assert sizes[8] < 1.02 * 100_000
    assert sizes[4] < 1.02 * 50_000


@given(st.lists(st.integers(-8, 7), min_size=1, max_size=33))
@settings(deadline=None)
def test_codes_are_packed_and_unpacked(codes):
    tensor = torch.tensor(codes, dtype=torch.int8)
    packed = pack(tensor)
    assert packed.numel() == (len(codes) + 1) // 2
    assert unpack(packed, tensor.shape).tolist() == codes


def test_half_precision_and_embeddings_with_padding(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 5, padding_idx=0), nn.Flatten(), nn.Linear(15, 3)).eval()
    tokens = [(torch.randint(9, (16, 3)), torch.randint(3, (16,))) for _ in range(3)]
    curvature = LearnedInverse(steps=3, warmup_batches=3)
    surgeon = Surgeon(model, Categorical(), tokens, curvature)
    surgeon.fit()
    weights = surgeon.quantise(4)
    assert not model[0].weight[0].any()
    assert weights["0.weight"].scales.shape == (9, 1)
    half = linear(torch.float16)
    surgeon = Surgeon(
        half, Gaussian(), [(torch.zeros(1, WIDTH), torch.zeros(1, OUTPUTS))], "magnitude"
    )
    weight = surgeon.quantise(8, compensate=False)["weight"]
    assert weight.scales.dtype is torch.float16
    assert torch.equal(half.weight, weight.values())


def test_after_a_solver_that_eliminates_kept_weights_alone_make_up_for_rounding(loader):
    costs = {}
    for compensate in (False, True):
        model = linear()
        surgeon = Surgeon(
            *(model, Gaussian(), loader, LearnedInverse(steps=200, refine_steps=200)),
            damping=1e-3,
            solver=GreedyByRow(),
        )
        surgeon.fit()
        surgeon.step(0.5)
        pruned = copy.deepcopy(model)
        surgeon.quantise(4, compensate=compensate)
        assert not model.weight[~surgeon.masks["weight"]].any()
        costs[compensate] = change_of_outputs(model, pruned, loader)
    assert costs[True] < 0.8 * costs[False]


def test_a_refused_format_leaves_the_estimate_as_it_was(loader):
    kept = []
    for bits in (None, 16):
        model = linear()
        surgeon = Surgeon(
            *(model, Gaussian(), loader, LearnedInverse(steps=20)), solver=GreedyByRow()
        )
        surgeon.fit()
        surgeon.step(0.3)
        if bits is not None:
            with pytest.raises(ValueError, match="bits must be"):
                surgeon.quantise(bits)
        surgeon.refine()
        surgeon.step(0.6)
        kept.append(model.weight.clone())
    assert torch.equal(*kept)


def test_what_cannot_be_quantised_is_said(loader):
    model = linear()
    surgeon = Surgeon(model, Gaussian(), loader, LearnedInverse("full", steps=3))
    with pytest.raises(NotFittedError, match=r"fit\(\)"):
        surgeon.quantise(4)
    for bits in (1, 9):
        with pytest.raises(ValueError, match="bits must be from 2 to 8"):
            surgeon.quantise(bits, compensate=False)
    with pytest.raises(ValueError, match="group_size"):
        surgeon.quantise(4, 0, compensate=False)
    surgeon.fit()
    before = model.weight.clone()
    with torch.no_grad():
        surgeon.curvature.operator.factor.zero_()
    with pytest.raises(DivergedError, match="positive definite"):
        surgeon.quantise(4)
    with torch.no_grad():
        surgeon.curvature.operator.factor.fill_(float("nan"))
    with pytest.raises(DivergedError):
        surgeon.quantise(4)
    assert torch.equal(model.weight, before)
    model.train()
    with pytest.raises(TrainingModeError):
        surgeon.quantise(4, compensate=False)


def test_files_of_something_else_are_refused(loader, tmp_path):
    model = linear()
    surgeon = Surgeon(model, Gaussian(), loader, "magnitude")
    weights = surgeon.quantise(4, compensate=False)
    path = tmp_path / "quantised.safetensors"
    save_quantised(path, model, weights)
    for other in (nn.Linear(WIDTH, OUTPUTS + 2), nn.Linear(WIDTH + 2, OUTPUTS), nn.ReLU()):
        with pytest.raises(ValueError, match="another model"):
            load_quantised(path, other)
    with pytest.raises(FileNotFoundError):
        load_quantised(tmp_path / "nowhere", linear())
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="no whole safetensors file"):
        load_quantised(tmp_path / "cut", linear())
    surgeon.save(tmp_path / "plain")
    with pytest.raises(ValueError, match="no quantised weight"):
        load_quantised(tmp_path / "plain", linear())
    save_file({"codes.weight": torch.zeros(3, dtype=torch.uint8)}, tmp_path / "unsaid")
    with pytest.raises(ValueError, match="does not say how weight"):
        load_quantised(tmp_path / "unsaid", linear())
    with torch.no_grad():
        model.weight += 1
    with pytest.raises(ValueError, match=r"right after quantise\(\)"):
        save_quantised(path, model, weights)
