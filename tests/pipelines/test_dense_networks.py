import pytest
import torch
from rich.console import Console

from compression.studies.pictures import LabelledImages
from compression.studies.training import DenseTraining, TrainingSettings
from data.validation import InputError
from pipelines.dense_networks import DenseRecipe, trained_resnet18
from pipelines.progress import ProgressReporter, progress_display

RECIPE = DenseRecipe(8, TrainingSettings(epochs=3, cuts=((1, 16),), batch_size=8))


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (24, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return LabelledImages(pixels, torch.arange(24) % 10, (0.5,) * 3, (0.25,) * 3)


@pytest.fixture
def reporter(tmp_path):
    with (tmp_path / "said").open("w") as said, progress_display(Console(file=said)) as progress:
        yield ProgressReporter(progress)


def same(first, second):
    ours, theirs = first.state_dict(), second.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_killed_training_goes_on_and_ends_the_same(images, reporter, tmp_path, monkeypatch):
    whole = trained_resnet18(RECIPE, images, tmp_path / "whole", reporter)
    run_epoch, parent = DenseTraining.run_epoch, tmp_path / "killed"
    epochs = []

    def killed_in_the_third(self, report=None):
        epochs.append(self.epoch)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return run_epoch(self, report)

    monkeypatch.setattr(DenseTraining, "run_epoch", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        trained_resnet18(RECIPE, images, parent, reporter)
    resumed = trained_resnet18(RECIPE, images, parent, reporter)
    assert epochs == [0, 1, 2, 2]
    assert same(resumed, whole)
    assert not resumed.training


def test_a_trained_network_is_not_trained_again(images, reporter, tmp_path, monkeypatch):
    first = trained_resnet18(RECIPE, images, tmp_path, reporter)
    monkeypatch.setattr(DenseTraining, "run_epoch", None)
    assert same(trained_resnet18(RECIPE, images, tmp_path, reporter), first)
    (folder,) = tmp_path.glob("resnet18-*")
    assert [path.name for path in folder.iterdir()] == ["dense.safetensors"]


def test_a_broken_state_is_reported_with_its_remedy(images, reporter, tmp_path):
    folder = RECIPE.folder(tmp_path, len(images))
    folder.mkdir()
    (folder / "training.pt").write_bytes(b"not a state")
    with pytest.raises(InputError, match="Remove it"):
        trained_resnet18(RECIPE, images, tmp_path, reporter)


def test_another_recipe_has_another_folder(images, tmp_path):
    other = DenseRecipe(9, RECIPE.settings)
    assert other.folder(tmp_path, 24) != RECIPE.folder(tmp_path, 24)
    assert RECIPE.folder(tmp_path, 23) != RECIPE.folder(tmp_path, 24)
