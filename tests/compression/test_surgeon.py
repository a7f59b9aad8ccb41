"""Pruning whole networks, and what users will get wrong."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from compression.curvature import CurvatureBase
from compression.errors import (
    DivergedError,
    ExhaustedLoaderError,
    NotFittedError,
    SparsityError,
    StructureError,
    TrainingModeError,
)
from compression.exact import ExactlyCompensated
from compression.greedy import GreedyByRow
from compression.joint import JointSelection
from compression.learning import LearnedInverse
from compression.likelihoods import Categorical
from compression.schedules import geometric
from compression.selection import RankAndCompensate
from compression.surgeon import Surgeon


class KnownInverse(CurvatureBase):
    """The inverse Fisher matrix, computed; a referee for what is learned."""

    def __init__(self, dense_fisher):
        super().__init__()
        self.dense_fisher = dense_fisher
        self.fits = 0

    def fit(self, loader, reporter=None):
        self.fits += 1
        problem = self.problem
        fishers = [self.dense_fisher(problem, inputs) for inputs, _ in loader]
        identity = torch.eye(problem.space.size, dtype=problem.space.dtype)
        damped = torch.stack(fishers).mean(0) + problem.damping * identity
        kept = self.mask[:, None] & self.mask
        self.matrix = torch.linalg.inv(torch.where(kept, damped, identity))

    def _diagonal(self):
        return self.matrix.diagonal()

    def _product(self, vectors):
        return vectors @ self.matrix

    def state_dict(self):
        return {"matrix": self.matrix}

    def load_state_dict(self, state):
        self.matrix = state["matrix"]


@pytest.fixture(scope="module")
def images():
    """Two classes of synthetic images: a bright left or right half, in noise."""
    torch.manual_seed(0)
    labels = torch.arange(48) % 2
    noise = torch.randn(48, 1, 4, 4, dtype=torch.float64) * 0.5
    noise[labels == 0, :, :, :2] += 1
    noise[labels == 1, :, :, 2:] += 1
    return [(noise[rows], labels[rows]) for rows in torch.arange(48).split(16)]


@pytest.fixture(scope="module")
def trained(images):
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 2)),
    ).double()
    train(model, images, 20)
    return model.eval()


def train(model, loader, epochs, optimizer=None):
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()


@pytest.fixture
def model(trained):
    return copy.deepcopy(trained)


@pytest.fixture
def surgeon(model, images, dense_fisher):
    made = Surgeon(model, Categorical(), images, KnownInverse(dense_fisher), damping=1e-2)
    made.fit()
    return made


def zeros(model):
    return sum(int((weight == 0).sum()) for name, weight in model.named_parameters())


def mean_loss(model, loader):
    with torch.no_grad():
        losses = [nn.functional.cross_entropy(model(inputs), labels) for inputs, labels in loader]
    return torch.stack(losses).mean().item()


def test_a_step_removes_exactly_so_many_weights_and_moves_the_others(surgeon, model):
    before = surgeon.problem.space.read(model)
    number = surgeon.problem.space.num_prunable
    masks = surgeon.step(0.5)
    assert set(masks) == {"0.weight", "4.weight", "6.weight"}
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(0.5 * number)
    assert surgeon.sparsity == pytest.approx(0.5, abs=1 / number)
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        assert not weight[~mask].any()
        assert not weight[~mask].signbit().any()
    kept = surgeon.mask
    moved = (surgeon.problem.space.read(model) != before) & kept
    assert moved.sum() > 0.9 * kept.sum()


def test_curvature_beats_magnitude_and_compensation_beats_none(trained, images, dense_fisher):
    """Measured on the loss itself, at a sparsity that hurts."""
    losses = {}
    for compensation in ("group", "single", "none"):
        model = copy.deepcopy(trained)
        surgeon = Surgeon(
            *(model, Categorical(), images, KnownInverse(dense_fisher)),
            damping=1e-3,
            solver=RankAndCompensate(compensation),
        )
        surgeon.fit()
        surgeon.step(0.8)
        losses[compensation] = mean_loss(model, images)
    model = copy.deepcopy(trained)
    prunable = [(model[0], "weight"), (model[4], "weight"), (model[6], "weight")]
    prune.global_unstructured(prunable, prune.L1Unstructured, amount=0.8)
    assert losses["none"] < mean_loss(model, images)
    assert losses["group"] < losses["single"] < losses["none"]


def test_the_learned_inverse_is_nearly_as_good_as_the_known_one(trained, images, dense_fisher):
    losses = {}
    learned = LearnedInverse("full", steps=100, learning_rate=3e-3)
    for name, curvature in (("known", KnownInverse(dense_fisher)), ("learned", learned)):
        model = copy.deepcopy(trained)
        surgeon = Surgeon(model, Categorical(), images, curvature, damping=1e-2)
        surgeon.fit()
        surgeon.step(0.5)
        losses[name] = mean_loss(model, images)
    assert losses["learned"] < losses["known"] + 0.05


def test_stages_refine_and_never_give_back(surgeon, model):
    masks = []
    for sparsity in geometric(0.8, 3):
        if masks:
            surgeon.refine()
        masks.append(surgeon.step(sparsity))
    for earlier, later in itertools.pairwise(masks):
        for name in earlier:
            assert not (later[name] & ~earlier[name]).any()
    assert surgeon.curvature.fits == 3
    assert not surgeon.curvature.inverse_diagonal()[~surgeon.mask].any()


def test_stages_with_fine_tuning_keep_what_is_removed_at_zero(surgeon, model, images):
    seen = []

    def fine_tune(tuned):
        assert tuned.training
        optimizer = torch.optim.Adam(tuned.parameters(), lr=1e-2)
        handle = surgeon.attach(optimizer)
        train(tuned, images, 1, optimizer)
        seen.append(torch.equal(surgeon.problem.space.read(tuned) == 0, ~surgeon.mask))
        handle.remove()

    surgeon.prune([0.4, 0.8], fine_tune)
    assert seen == [True, True]
    assert not model.training
    assert surgeon.sparsity == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    "make",
    [
        lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.01),
        lambda weights: torch.optim.AdamW(weights, lr=0.01),
        lambda weights: torch.optim.LBFGS(weights, lr=0.1, max_iter=3),
    ],
)
def test_masks_hold_through_the_steps_of_any_optimizer(surgeon, model, images, make):
    surgeon.step(0.6)
    optimizer = make(model.parameters())
    surgeon.attach(optimizer)
    inputs, labels = images[0]

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        return loss

    before = surgeon.problem.space.read(model)
    for _ in range(3):
        optimizer.step(closure)
    after = surgeon.problem.space.read(model)
    assert not after[~surgeon.mask].any()
    assert (after != before)[surgeon.mask].any()


@pytest.mark.parametrize("structure", ["block4", (2, 4)])
def test_structures_are_kept(model, images, dense_fisher, structure):
    surgeon = Surgeon(model, Categorical(), images, KnownInverse(dense_fisher), structure, "layer")
    surgeon.fit()
    # The convolution has one input, which stays dense.
    masks = surgeon.step(0.5)
    assert masks["0.weight"].all()
    counts = masks["4.weight"].reshape(-1, 4).sum(1)
    assert set(counts.tolist()) <= ({0, 4} if structure == "block4" else {2})
    assert masks["4.weight"].sum() == 32


def test_scores_rank_for_torch_prune(surgeon, model):
    scores = surgeon.importance_scores()
    expected = surgeon.step(0.5)
    prunable = list(scores)
    prune.global_unstructured(prunable, prune.L1Unstructured, importance_scores=scores, amount=0.5)
    for name, mask in expected.items():
        module = model.get_submodule(name.split(".")[0])
        assert torch.equal(module.weight_mask.bool(), mask)


def test_scores_are_what_removal_costs(surgeon, model):
    scores = surgeon.score()
    diagonal = surgeon.problem.space.unflatten(surgeon.curvature.inverse_diagonal())
    expected = model[4].weight.square() / diagonal["4.weight"] / 2
    torch.testing.assert_close(scores["4.weight"], expected.detach())
    surgeon.step(0.5)
    again = surgeon.score()
    for name, mask in surgeon.masks.items():
        assert not again[name][~mask].any()


def test_state_is_saved_and_taken_on(surgeon, trained, images, dense_fisher, tmp_path):
    surgeon.step(0.5)
    surgeon.save(tmp_path / "pruned.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["pruned.safetensors"]
    other = Surgeon(
        copy.deepcopy(trained), Categorical(), images, KnownInverse(dense_fisher), damping=1e-2
    )
    other.load(tmp_path / "pruned.safetensors")
    assert torch.equal(other.mask, surgeon.mask)
    inputs = images[0][0]
    assert torch.equal(other.model(inputs), surgeon.model(inputs))
    for each in (surgeon, other):
        each.refine()
        each.step(0.8)
    assert torch.equal(other.model(inputs), surgeon.model(inputs))


def test_a_fit_that_was_killed_goes_on_from_the_saved_file(trained, images, tmp_path):
    path = tmp_path / "half.safetensors"

    def make(reporter=None):
        curvature = LearnedInverse("kronecker", steps=12, warmup_batches=3)
        return Surgeon(copy.deepcopy(trained), Categorical(), images, curvature, reporter=reporter)

    whole = make()
    whole.fit()
    half = make(lambda stage, done, total, value: done == 5 and half.save(path))
    half.fit()
    resumed = make()
    resumed.load(path)
    with pytest.raises(NotFittedError):
        resumed.step(0.5)
    resumed.fit()
    expected = whole.curvature.inverse_diagonal()
    torch.testing.assert_close(resumed.curvature.inverse_diagonal(), expected, atol=0, rtol=0)


@pytest.mark.parametrize("solver", [JointSelection(), ExactlyCompensated(GreedyByRow())])
def test_a_loaded_surgeon_steps_as_the_saved_one(trained, images, tmp_path, solver):
    def make():
        curvature = LearnedInverse(steps=10, warmup_batches=3)
        return Surgeon(copy.deepcopy(trained), Categorical(), images, curvature, solver=solver)

    surgeon, other = make(), make()
    surgeon.fit()
    surgeon.save(tmp_path / "fitted.safetensors")
    other.load(tmp_path / "fitted.safetensors")
    surgeon.step(0.5)
    other.step(0.5)
    assert torch.equal(other.model(images[0][0]), surgeon.model(images[0][0]))


def test_a_fit_that_failed_leaves_no_estimate_and_begins_anew(trained, images):
    curvature = LearnedInverse(steps=50, warmup_batches=3, learning_rate=1e200)
    surgeon = Surgeon(copy.deepcopy(trained), Categorical(), images, curvature)
    with pytest.raises(DivergedError):
        surgeon.fit()
    with pytest.raises(NotFittedError):
        surgeon.step(0.5)
    curvature.learning_rate = 1e-3
    surgeon.fit()
    whole = LearnedInverse(steps=50, warmup_batches=3, learning_rate=1e-3)
    Surgeon(copy.deepcopy(trained), Categorical(), images, whole).fit()
    assert torch.equal(curvature.inverse_diagonal(), whole.inverse_diagonal())
    curvature.learning_rate = 1e200
    with pytest.raises(DivergedError):
        surgeon.refine()
    with pytest.raises(NotFittedError):
        surgeon.step(0.5)


def test_the_present_sparsity_may_be_asked_for_again():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Tanh(), nn.Linear(1, 3, bias=False))
    batch = (torch.randn(8, 3), torch.randint(3, (8,)))
    surgeon = Surgeon(model.eval(), Categorical(), [batch], "magnitude", scope="layer")
    surgeon.fit()
    masks = surgeon.step(0.5)
    # Each layer of three has rounded to two.
    assert surgeon.sparsity == 2 / 3
    for sparsity in (0.5, surgeon.sparsity):
        again = surgeon.step(sparsity)
        assert all(torch.equal(again[name], mask) for name, mask in masks.items())
    with pytest.raises(SparsityError):
        surgeon.step(0.3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("structure", ["unstructured", "block4"])
def test_models_of_half_precision_have_curvature_in_single(dtype, structure):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)).eval().to(dtype)
    batches = [(torch.randn(16, 8).to(dtype), torch.randint(3, (16,))) for _ in range(2)]
    curvature = LearnedInverse(steps=20, refine_steps=5, warmup_batches=2)
    surgeon = Surgeon(model, Categorical(), batches, curvature, structure=structure)
    surgeon.fit()
    surgeon.prune((0.25, 0.5))
    assert surgeon.sparsity == 0.5
    assert curvature.inverse_diagonal().dtype == torch.float32
    assert all(parameter.dtype is dtype for parameter in model.parameters())
    surgeon.quantise(4)
    assert model(batches[0][0]).isfinite().all()


@pytest.mark.parametrize("family", ["block", "full", "kronecker"])
def test_padding_rows_of_embeddings_stay(family):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(6, 4, padding_idx=0), nn.Flatten(), nn.Linear(12, 2)).eval()
    batches = [(torch.randint(6, (16, 3)), torch.randint(2, (16,)))]
    surgeon = Surgeon(
        model, Categorical(), batches, LearnedInverse(family, steps=20, warmup_batches=1)
    )
    surgeon.fit()
    before = model[0].weight.clone()
    surgeon.step(0.5)
    assert torch.equal(model[0].weight[0], before[0])
    assert not torch.equal(model[0].weight[1:], before[1:])


def test_files_have_the_rights_that_new_files_have(surgeon, tmp_path):
    surgeon.save(tmp_path / "saved.safetensors")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "saved.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert len(list(tmp_path.iterdir())) == 2


def test_the_final_model_is_plain_and_the_same_function(surgeon, model, trained, images, tmp_path):
    inputs = images[0][0]
    masks = surgeon.step(0.6)
    surgeon.reestimate_normalisation()
    masked = copy.deepcopy(model)
    for name, mask in masks.items():
        module, _, weight = name.rpartition(".")
        prune.custom_from_mask(masked.get_submodule(module), weight, mask)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    surgeon.attach(optimizer)
    final = surgeon.finalize()
    assert torch.equal(final(inputs), masked(inputs))
    assert final.state_dict().keys() == trained.state_dict().keys()
    assert not any(module._forward_hooks for module in final.modules())
    assert not optimizer._optimizer_step_post_hooks
    assert zeros(final) == sum(int((~mask).sum()) for mask in masks.values())


def test_the_final_model_is_exported_to_onnx(surgeon, images, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    reference = pytest.importorskip("onnx.reference", reason="onnx is not installed")
    surgeon.step(0.6)
    final = surgeon.finalize().float()
    inputs = images[0][0].float()
    torch.onnx.export(final, (inputs,), tmp_path / "pruned.onnx", dynamo=False)
    loaded = onnx.load(tmp_path / "pruned.onnx")
    (outputs,) = reference.ReferenceEvaluator(loaded).run(
        None, {loaded.graph.input[0].name: inputs.numpy()}
    )
    torch.testing.assert_close(torch.from_numpy(outputs), final(inputs), atol=1e-5, rtol=1e-4)


def test_what_users_get_wrong_is_said(model, images, surgeon):
    with pytest.raises(TrainingModeError, match=r"model\.eval\(\)"):
        Surgeon(copy.deepcopy(model).train(), Categorical(), images)
    with pytest.raises(ValueError, match="unknown curvature"):
        Surgeon(model, Categorical(), images, "hessian")
    with pytest.raises(StructureError):
        Surgeon(model, Categorical(), images, structure=(4, 2))
    with pytest.raises(ValueError, match="damping"):
        Surgeon(model, Categorical(), images, damping=0.0)
    fresh = Surgeon(model, Categorical(), images)
    for call in (lambda: fresh.step(0.5), fresh.refine, fresh.score):
        with pytest.raises(NotFittedError, match=r"fit\(\)"):
            call()
    surgeon.step(0.5)
    with pytest.raises(SparsityError, match="do not come back"):
        surgeon.step(0.4)
    for nonsense in (1.0, -0.1, float("nan")):
        with pytest.raises(SparsityError):
            surgeon.step(nonsense)
    model.train()
    for call in (lambda: surgeon.step(0.6), surgeon.refine, surgeon.fit):
        with pytest.raises(TrainingModeError):
            call()


def test_a_sparsity_beyond_two_of_four_is_refused(model, images, dense_fisher):
    surgeon = Surgeon(model, Categorical(), images, KnownInverse(dense_fisher), (2, 4))
    surgeon.fit()
    with pytest.raises(SparsityError, match="2 of 4"):
        surgeon.step(0.6)


def test_data_that_runs_dry_or_is_nan_is_said(model, images):
    once = Surgeon(model, Categorical(), (batch for batch in images), LearnedInverse(steps=9))
    with pytest.raises(ExhaustedLoaderError, match="gone through again"):
        once.fit()
    bad = [(inputs * float("nan"), labels) for inputs, labels in images]
    with pytest.raises(DivergedError, match="NaN"):
        Surgeon(model, Categorical(), bad).fit()


def test_a_step_that_gives_nonsense_leaves_the_model_alone(surgeon, model):
    before = surgeon.problem.space.read(model)
    surgeon.curvature.matrix = surgeon.curvature.matrix * float("nan")
    with pytest.raises(DivergedError, match="not finite"):
        surgeon.step(0.5)
    assert torch.equal(surgeon.problem.space.read(model), before)
    assert surgeon.mask.all()
