"""The dense ResNet-18 of the pruning study: trained once, kept, resumed where it was killed."""

import hashlib
import json
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from compression.studies.networks import ResNet18
from compression.studies.pictures import LabelledImages
from compression.studies.training import DenseTraining, TrainingSettings
from data.files import atomic_file
from data.validation import Fault, InputError
from pipelines.progress import ProgressReporter

TASK = "train dense network"


@dataclass(frozen=True)
class DenseRecipe:
    """Which ResNet-18 is trained, and how.

    Attributes:
        width: Channels of its first stage; 64 is ResNet-18 itself.
        settings: How it is trained.
    """

    width: int
    settings: TrainingSettings

    def folder(self, parent: Path, num_images: int) -> Path:
        """Folder named after all that the trained weights depend on but the code.

        Args:
            parent: Of all dense networks.
            num_images: Number of training images.
        """
        content = json.dumps({**asdict(self), "images": num_images}, sort_keys=True)
        return parent / f"resnet18-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def trained_resnet18(
    recipe: DenseRecipe, images: LabelledImages, parent: Path, reporter: ProgressReporter
) -> ResNet18:
    """Train, or go on training, or load what was trained before.

    Args:
        recipe: Which network, and how it is trained.
        images: Training images.
        parent: Folder of all dense networks; the state after every epoch is kept in it.
        reporter: Told of progress.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        InputError: A kept file cannot be read.
    """
    folder = recipe.folder(parent, len(images))
    weights, kept = folder / "dense.safetensors", folder / "training.pt"
    torch.manual_seed(recipe.settings.seed)
    network = ResNet18(width=recipe.width)
    if not weights.exists():
        device = "cuda" if torch.cuda.is_available() else "cpu"
        training = DenseTraining(network, images, recipe.settings, device)
        if kept.exists():
            training.load_state_dict(_read_state(kept))
        _train(training, kept, reporter)
        with atomic_file(weights) as partial:
            save_file(training.averaged().state_dict(), partial)
        kept.unlink(missing_ok=True)
        network = ResNet18(width=recipe.width)
    network.load_state_dict(load_file(weights))
    return network.eval()


def _train(training: DenseTraining, kept: Path, reporter: ProgressReporter) -> None:
    """Train the remaining epochs, keeping the state after each."""
    epochs, steps = training.settings.epochs, training.steps_per_epoch
    while training.epoch < epochs:
        done = training.epoch * steps

        def report(step: int, total: int, loss: float, done: int = done) -> None:
            reporter.progress(TASK, done + min(step, total - 0.5), epochs * steps)

        loss = training.run_epoch(report)
        with atomic_file(kept) as partial:
            torch.save(training.state_dict(), partial)
        reporter.metrics({"training_loss": loss}, training.epoch)
        reporter.say(f"epoch {training.epoch} of {epochs}: training loss {loss:.4f}")
    reporter.progress(TASK, epochs * steps, epochs * steps)


def _read_state(kept: Path) -> dict[str, object]:
    try:
        state: dict[str, object] = torch.load(kept, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        message = f"the kept training cannot be read ({error})"
        raise InputError(
            [Fault(str(kept), message, "Remove it to train from the start")]
        ) from error
    return state
