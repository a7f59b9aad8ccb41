"""Train the dense network of the pruning study on CIFAR-10, ResNet-18 with a stem for 32 x 32.

The state is kept after every epoch: the same command run again goes on where it was.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from rich.console import Console

from compression.studies.evaluation import evaluate
from compression.studies.pictures import CIFAR10_DEVIATION, CIFAR10_MEAN, LabelledImages
from compression.studies.training import TrainingSettings
from data.images import Images, read_images
from pipelines import tracking
from pipelines.command import run_command
from pipelines.dense_networks import DenseRecipe, trained_resnet18
from pipelines.exclusive import exclusive
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display

EXPERIMENT = "compression"

ProfileName = Literal["smoke", "cpu", "full"]

SMOKE_IMAGES = 2000

RECIPES: Mapping[ProfileName, DenseRecipe] = MappingProxyType(
    {
        "smoke": DenseRecipe(
            8, TrainingSettings(epochs=6, cut_epochs=3, batch_size=50, averaging=0.9)
        ),
        "cpu": DenseRecipe(64, TrainingSettings()),
        "full": DenseRecipe(64, TrainingSettings(epochs=40, cut_epochs=0)),
    }
)


@dataclass(frozen=True)
class Arguments:
    """Options of `compress`."""

    images: Path
    """Folder of the image data sets, as torchvision's `root`."""
    profile: ProfileName = "cpu"
    """smoke: a narrow network on few images, under 2 minutes. cpu: the study's own network, hours
    on a CPU. full: trained for longer; meant for a GPU."""
    home: Path = Path("artifacts")
    """Folder of all state: datasets, MLflow database and artifacts."""


def main(arguments: Arguments, console: Console) -> None:
    """Train, score, record."""
    images = read_images(arguments.images, "cifar10")
    home = Home.prepare(arguments.home)
    home.compression.mkdir(exist_ok=True)
    train, test = _cifar10(images)
    if arguments.profile == "smoke":
        train, test = (part.take(torch.arange(SMOKE_IMAGES)) for part in (train, test))
    recipe = RECIPES[arguments.profile]
    tracking.connect(home, EXPERIMENT)
    parameters = {"width": recipe.width, **asdict(recipe.settings)}
    tags = {"study": "resnet18", "profile": arguments.profile}
    with (
        exclusive(home.compression / ".resnet18.lock"),
        progress_display(console) as progress,
        tracking.run(f"resnet18 dense {arguments.profile}", parameters, tags) as run,
    ):
        reporter = ProgressReporter(progress)
        network = trained_resnet18(recipe, train, home.compression, reporter)
        quality = evaluate(network, test)
        tracking.log_history(run.info.run_id, reporter.history)
        tracking.log_metrics({f"dense_test_{name}": of for name, of in asdict(quality).items()})
    console.print(
        f"dense ResNet-18: test accuracy {quality.accuracy:.2%}, cross-entropy "
        f"{quality.cross_entropy:.4f} nats on {len(test):,} images"
    )
    console.print(f"compare in the MLflow UI: {tracking.ui_command(home)}", soft_wrap=True)


def _cifar10(images: Images) -> tuple[LabelledImages, LabelledImages]:
    """Training and test images as tensors."""
    train, test = (
        LabelledImages(
            torch.from_numpy(pixels), torch.from_numpy(labels), CIFAR10_MEAN, CIFAR10_DEVIATION
        )
        for pixels, labels in (
            (images.train_images, images.train_labels),
            (images.test_images, images.test_labels),
        )
    )
    return train, test


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
