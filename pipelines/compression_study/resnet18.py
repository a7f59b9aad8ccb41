"""The study of ResNet-18 on CIFAR-10: its dense training."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import torch
from rich.console import Console

from compression.studies.evaluation import evaluate
from compression.studies.pictures import CIFAR10_DEVIATION, CIFAR10_MEAN, LabelledImages
from compression.studies.training import TrainingSettings
from data.images import Images, read_images
from pipelines import tracking
from pipelines.compression_study.profiles import ProfileName
from pipelines.dense_networks import DenseRecipe, trained_resnet18
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display

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


def train_dense(
    images: Path, profile: ProfileName, home: Home, experiment: str, console: Console
) -> None:
    """Train the dense network, or load it; score and record it.

    Args:
        images: Folder of CIFAR-10, as torchvision's `root`.
        profile: How large a network, and how long it is trained.
        home: Where the network is kept.
        experiment: Of MLflow.
        console: Told of progress and result.
    """
    train, test = cifar10(read_images(images, "cifar10"))
    if profile == "smoke":
        train, test = (part.take(torch.arange(SMOKE_IMAGES)) for part in (train, test))
    recipe = RECIPES[profile]
    tracking.connect(home, experiment)
    parameters = {"width": recipe.width, **asdict(recipe.settings)}
    tags = {"study": "resnet18", "profile": profile}
    with (
        progress_display(console) as progress,
        tracking.run(f"resnet18 dense {profile}", parameters, tags) as run,
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


def cifar10(images: Images) -> tuple[LabelledImages, LabelledImages]:
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
