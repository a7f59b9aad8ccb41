from dataclasses import replace

import pytest
import torch

from compression.studies.methods import METHODS, Setting
from compression.studies.networks import ResNet18
from compression.studies.pictures import CIFAR10_DEVIATION, CIFAR10_MEAN, LabelledImages
from compression.studies.pruning import FittedOnce
from compression.studies.training import TrainingSettings
from pipelines.compression_study import profiles
from pipelines.compression_study.resnet18 import BATCH_SIZE, NORMALISATION_BATCHES, ResNet18Study
from pipelines.dense_networks import DenseRecipe

SETTINGS = TrainingSettings(epochs=1, cuts=(), batch_size=64, averaging=0.5)


def pictures(number, seed):
    """Synthetic pictures whose brightness tells the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 10
    pixels = torch.randint(0, 60, (number, 3, 32, 32), generator=generator)
    pixels = (pixels + 18 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    return LabelledImages(pixels, labels, CIFAR10_MEAN, CIFAR10_DEVIATION)


@pytest.fixture
def study():
    torch.manual_seed(0)
    network = ResNet18(width=8).eval()
    training = pictures(33 * BATCH_SIZE, 0)
    recipe = DenseRecipe(8, SETTINGS)
    return ResNet18Study(network, recipe, training, pictures(40, 1), pictures(40, 2), SETTINGS)


def pruned(study):
    subject = study.subject(0)
    return FittedOnce(subject, METHODS["magnitude"], Setting(), seed=0).pruned(0.8)


def test_settings_are_chosen_without_fine_tuning(study):
    choice = replace(study, part="fine-tuned").for_choice()
    assert choice.described == study.described
    assert choice.chosen_by in study.figures(pruned(study))


@pytest.mark.parametrize("name", profiles.RESNET18)
def test_a_profile_has_images_for_all_that_it_estimates(name):
    profile = profiles.RESNET18[name]
    num_batches = ((profile.num_images or 50_000) - profile.num_held_out) // BATCH_SIZE
    grid = profile.plan.grid
    assert num_batches >= NORMALISATION_BATCHES
    for number, group in (*grid.samples, *grid.exact_samples):
        assert num_batches * BATCH_SIZE >= number * group


def test_the_pruned_network_itself_is_left_as_it_is(study):
    found = pruned(study)
    before = {name: value.clone() for name, value in found.network.state_dict().items()}
    replace(study, part="fine-tuned").figures(found)
    after = found.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_fine_tuning_changes_what_is_left(study):
    found = pruned(study)
    tuned = replace(study, part="fine-tuned")
    first, second = tuned.figures(found), tuned.figures(found)
    assert first == second
    assert first["test_cross_entropy"] != study.figures(found)["test_cross_entropy"]


def test_batches_are_whole_and_in_the_order_of_the_seed(study):
    loader = study.subject(1).loader
    assert len(loader) == len(list(loader)) == 33
    assert all(len(labels) == BATCH_SIZE for _, labels in loader)
    other = study.subject(2).loader
    assert not torch.equal(loader[0][1], other[0][1])
    assert torch.equal(loader[0][0], study.subject(1).loader[0][0])
