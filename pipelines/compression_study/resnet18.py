"""The study of ResNet-18 on CIFAR-10: trained here, pruned, and fine-tuned for a short while."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from torch import nn

from compression.likelihoods import Categorical
from compression.normalisation import reestimate
from compression.studies.evaluation import evaluate
from compression.studies.networks import ResNet18
from compression.studies.pictures import CIFAR10_DEVIATION, CIFAR10_MEAN, LabelledImages
from compression.studies.pruning import Pruned, Subject
from compression.studies.training import DenseTraining, TrainingSettings
from data.images import Images, read_images
from pipelines import tracking
from pipelines.compression_study.comparison import ACCURACY, EXPERIMENT, Comparison
from pipelines.compression_study.profiles import ProfileName, ResNet18Profile
from pipelines.dense_networks import DenseRecipe, trained_resnet18
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display

BATCH_SIZE = 64
"""Images of a batch that curvature is estimated from."""

SPLIT_SEED = 0
"""Of the choice of held-out images: the same for all cells."""

NORMALISATION_BATCHES = 16
"""Batches that the statistics of batch normalisation are measured on again after pruning."""

Part = Literal["pruned", "fine-tuned"]


@dataclass(frozen=True)
class ResNet18Study:
    """The dense ResNet-18, with training images to prune by, others to choose by, and test images.

    The dense network has learned from the held-out images, too: for all methods alike.

    Attributes:
        network: Dense, on the device on which all is computed.
        recipe: How it was trained.
        training: Images that curvature is estimated from and pruned networks are fine-tuned on.
        held_out: Other training images, by which settings are chosen.
        test: Test images.
        fine_tuning: How pruned networks are fine-tuned.
        part: Whether figures are of the pruned network, or after fine-tuning.
    """

    network: ResNet18
    recipe: DenseRecipe
    training: LabelledImages
    held_out: LabelledImages
    test: LabelledImages
    fine_tuning: TrainingSettings
    part: Part = "pruned"
    chosen_by: str = "held_out_accuracy"

    @property
    def described(self) -> Mapping[str, Any]:
        """What its cells depend on, as JSON values."""
        described = {
            "network": "resnet18",
            "recipe": asdict(self.recipe),
            "training": len(self.training),
            "held_out": len(self.held_out),
            "test": len(self.test),
            "batch_size": BATCH_SIZE,
            "split_seed": SPLIT_SEED,
            "normalisation_batches": NORMALISATION_BATCHES,
            "part": self.part,
        }
        if self.part == "fine-tuned":
            described["fine_tuning"] = asdict(self.fine_tuning)
        return described

    def for_choice(self) -> "ResNet18Study":
        """The same without fine-tuning."""
        return replace(self, part="pruned")

    def subject(self, seed: int) -> Subject:
        """The network, with the training images in the order of a seed."""
        order = torch.randperm(len(self.training), generator=torch.Generator().manual_seed(seed))
        loader = _Batches(self.training.take(order))
        return Subject(
            self.network, Categorical(), loader, normalisation_batches=NORMALISATION_BATCHES
        )

    def dense_figures(self) -> Mapping[str, float]:
        """Figures of the dense network."""
        return self._figures(self.network)

    def figures(self, pruned: Pruned) -> Mapping[str, float]:
        """Accuracy and cross-entropy, the statistics of batch normalisation measured again."""
        network = copy.deepcopy(pruned.network)
        if self.part == "fine-tuned":
            device = next(network.parameters()).device
            training = DenseTraining(
                network, self.training, self.fine_tuning, device, keeps_zeros=True
            )
            for _ in range(self.fine_tuning.epochs):
                training.run_epoch()
            network = training.averaged().to(device)
        reestimate(network, _Batches(self.training), NORMALISATION_BATCHES)
        return self._figures(network)

    def _figures(self, network: nn.Module) -> dict[str, float]:
        figures = {}
        for split, images in {"held_out": self.held_out, "test": self.test}.items():
            quality = evaluate(network, images, low_precision=True)
            figures[f"{split}_accuracy"] = quality.accuracy
            figures[f"{split}_cross_entropy"] = quality.cross_entropy
        return figures


class _Batches(Sequence[tuple[torch.Tensor, torch.Tensor]]):
    """Whole batches of images, normalised when they are asked for."""

    def __init__(self, images: LabelledImages) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images) // BATCH_SIZE

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        rows = torch.arange(index * BATCH_SIZE, (index + 1) * BATCH_SIZE)
        (batch,) = self._images.take(rows).batches(BATCH_SIZE)
        return batch


def comparisons(
    images: Path, name: ProfileName, profile: ResNet18Profile, home: Home, console: Console
) -> Sequence[Comparison]:
    """Train the dense network, or load it, and say what is compared on it.

    Args:
        images: Folder of CIFAR-10, as torchvision's `root`.
        name: Of the profile.
        profile: How large, how long, which cells.
        home: Where the network is kept.
        console: Told of progress and of the dense network's figures.

    Returns:
        Methods without fine-tuning, and with it.
    """
    train, test = cifar10(read_images(images, "cifar10"))
    if profile.num_images is not None:
        train, test = (part.take(torch.arange(profile.num_images)) for part in (train, test))
    network, figures = _dense(profile.recipe, name, train, test, home, console)
    training, held_out = train.split(profile.num_held_out, SPLIT_SEED)
    study = ResNet18Study(network, profile.recipe, training, held_out, test, profile.fine_tuning)
    width = "" if profile.recipe.width == 64 else f" of width {profile.recipe.width}"
    tags = {"study": "resnet18", "profile": name}
    pruned = Comparison(
        name=f"resnet18-{name}",
        title=f"ResNet-18{width} on CIFAR-10, no fine-tuning",
        study=study,
        plan=profile.plan,
        dense=figures,
        reported=(ACCURACY,),
        tags=tags,
        cells="resnet18",
    )
    methods = tuple(name for name in profile.plan.methods if name in profile.fine_tuned_methods)
    epochs = profile.fine_tuning.epochs
    fine_tuned = replace(
        pruned,
        name=f"resnet18-{name}-fine-tuned",
        title=f"ResNet-18{width} on CIFAR-10, {epochs} epoch{'s' * (epochs > 1)} of fine-tuning",
        study=replace(study, part="fine-tuned"),
        plan=replace(
            profile.plan,
            sparsities=profile.fine_tuned_sparsities,
            methods=methods,
            stages=profile.plan.stages[:1],
            seeds=profile.fine_tuned_seeds,
        ),
    )
    return [pruned, fine_tuned] if methods else [pruned]


def _dense(
    recipe: DenseRecipe,
    name: ProfileName,
    train: LabelledImages,
    test: LabelledImages,
    home: Home,
    console: Console,
) -> tuple[ResNet18, Mapping[str, float]]:
    """The dense network and its figures on test images, recorded as a run of its own."""
    tracking.connect(home, EXPERIMENT)
    parameters = {"width": recipe.width, **asdict(recipe.settings)}
    tags = {"study": "resnet18", "profile": name}
    with (
        progress_display(console) as progress,
        tracking.run(f"resnet18 dense {name}", parameters, tags) as run,
    ):
        reporter = ProgressReporter(progress)
        network = trained_resnet18(recipe, train, home.compression, reporter)
        network.to("cuda" if torch.cuda.is_available() else "cpu")
        quality = evaluate(network, test, low_precision=True)
        tracking.log_history(run.info.run_id, reporter.history)
        figures = {f"test_{figure}": value for figure, value in asdict(quality).items()}
        tracking.log_metrics({f"dense_{figure}": value for figure, value in figures.items()})
    console.print(
        f"dense ResNet-18: test accuracy {quality.accuracy:.2%}, cross-entropy "
        f"{quality.cross_entropy:.4f} nats on {len(test):,} images"
    )
    return network, figures


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
