import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from compression.studies.evaluation import evaluate
from compression.studies.pictures import LabelledImages
from compression.studies.training import DenseTraining, TrainingSettings

SETTINGS = TrainingSettings(epochs=4, cuts=((1, 6),), batch_size=10, padding=1, averaging=0.8)


@pytest.fixture
def images():
    """Bright pictures of class 1 and dark ones of class 0, with noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(205) % 2
    pixels = torch.randint(0, 120, (205, 1, 8, 8), generator=generator)
    pixels = (pixels + 100 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    return LabelledImages(pixels, labels, (0.4,), (0.2,))


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 2),
    )  # fmt: skip


def trained(training):
    while training.epoch < training.settings.epochs:
        training.run_epoch()
    return training


def same(first, second):
    ours, theirs = first.state_dict(), second.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_training_learns_and_its_average_is_as_good(images):
    training = DenseTraining(network(), images, SETTINGS)
    losses = [training.run_epoch() for _ in range(SETTINGS.epochs)]
    assert losses[-1] < losses[0]
    assert evaluate(training.averaged(), images).accuracy > 0.95


def test_cuts_grow_to_whole_images(images):
    settings = replace(SETTINGS, epochs=4, cuts=((1, 4), (2, 6)))
    training = DenseTraining(network(), images, settings)
    sides = []
    for _ in range(settings.epochs):
        ((inputs, _), *_) = training._batches()
        sides.append(inputs.shape[-1])
        training.run_epoch()
    assert sides == [4, 6, 6, 8]


def test_a_resumed_training_ends_where_the_uninterrupted_one_does(images, tmp_path):
    whole = trained(DenseTraining(network(), images, SETTINGS))
    first = DenseTraining(network(), images, SETTINGS)
    first.run_epoch()
    first.run_epoch()
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = DenseTraining(network(), images, SETTINGS)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert second.epoch == 2
    assert same(trained(second).averaged(), whole.averaged())


def test_the_average_is_the_exponential_moving_average_of_the_weights(images):
    one_step = replace(SETTINGS, epochs=3, batch_size=205)
    model = network()
    training = DenseTraining(model, images, one_step)
    training.run_epoch()
    expected = copy.deepcopy(model.state_dict()["5.weight"])
    for _ in range(2):
        training.run_epoch()
        expected = 0.8 * expected + 0.2 * model.state_dict()["5.weight"]
    assert torch.allclose(training.averaged().state_dict()["5.weight"], expected, atol=1e-6)


def test_only_whole_batches_are_seen_and_reported(images):
    steps = []
    training = DenseTraining(network(), images, SETTINGS)
    loss = training.run_epoch(lambda step, total, value: steps.append((step, total, value)))
    assert [step for step, _, _ in steps] == list(range(1, 21))
    assert {total for _, total, _ in steps} == {20}
    assert steps[-1][2] == pytest.approx(loss)


def test_state_of_other_settings_is_refused(images):
    state = DenseTraining(network(), images, SETTINGS).state_dict()
    other = DenseTraining(network(), images, replace(SETTINGS, learning_rate=0.2))
    with pytest.raises(ValueError, match="other settings"):
        other.load_state_dict(state)


def test_there_is_no_epoch_after_the_last(images):
    training = trained(DenseTraining(network(), images, SETTINGS))
    with pytest.raises(RuntimeError, match="done"):
        training.run_epoch()


def test_a_loss_that_is_not_finite_ends_the_training(images):
    model = network()
    with torch.no_grad():
        model[5].weight.fill_(torch.nan)
    with pytest.raises(RuntimeError, match="loss is nan"):
        DenseTraining(model, images, SETTINGS).run_epoch()


def test_weights_that_were_removed_stay_removed_while_others_learn(images):
    pruned = network()
    with torch.no_grad():
        pruned[0].weight[::2] = 0
    before = copy.deepcopy(pruned)
    training = trained(DenseTraining(pruned, images, SETTINGS, keeps_zeros=True))
    for ended in (pruned, training.averaged()):
        assert not ended[0].weight[::2].any()
        assert not torch.equal(ended[0].weight[1::2], before[0].weight[1::2])
        assert not torch.equal(ended[5].weight, before[5].weight)


def test_a_resumed_fine_tuning_keeps_the_zeros_of_the_first(images, tmp_path):
    pruned = network()
    with torch.no_grad():
        pruned[0].weight[::2] = 0
        nn.init.normal_(pruned[1].bias)
    first = DenseTraining(pruned, images, SETTINGS, keeps_zeros=True)
    first.run_epoch()
    torch.save(first.state_dict(), tmp_path / "state.pt")
    # A new network has no weights removed, but biases that are 0 as they were made.
    second = DenseTraining(network(), images, SETTINGS, keeps_zeros=True)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    ended = trained(second).averaged()
    assert not ended[0].weight[::2].any()
    assert same(ended, trained(first).averaged())


@pytest.mark.parametrize("kept", [False, True])
def test_a_state_that_kept_zeros_is_for_a_training_that_does(images, kept):
    state = DenseTraining(network(), images, SETTINGS, keeps_zeros=kept).state_dict()
    other = DenseTraining(network(), images, SETTINGS, keeps_zeros=not kept)
    with pytest.raises(ValueError, match=f"keeps_zeros={kept}"):
        other.load_state_dict(state)


@pytest.mark.parametrize("able", [False, True])
def test_low_precision_is_for_devices_that_compute_in_it(images, monkeypatch, able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})
    seen = []
    model = network()
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    DenseTraining(model, images, replace(SETTINGS, epochs=1)).run_epoch()
    assert set(seen) == {torch.bfloat16 if able else torch.float32}
