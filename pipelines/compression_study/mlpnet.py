"""The study of the MLPNet on MNIST: the network that WoodFisher, M-FAC and CHITA are shown on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from compression.likelihoods import Categorical
from compression.studies.checkpoints import load_mlpnet
from compression.studies.evaluation import evaluate
from compression.studies.networks import MLPNet
from compression.studies.pictures import MNIST_DEVIATION, MNIST_MEAN, LabelledImages
from compression.studies.pruning import Pruned, Subject
from data.files import digest_file
from data.images import read_images
from data.validation import Fault, InputError

BATCH_SIZE = 500
"""Images of a batch that curvature is estimated from."""

SPLIT_SEED = 0
"""Of the choice of held-out images: the same for all cells."""


@dataclass(frozen=True)
class MLPNetStudy:
    """The published checkpoint, with training images to prune by and others to choose by.

    Attributes:
        network: Dense.
        training: Images that curvature is estimated from.
        held_out: Other training images, by which settings are chosen.
        test: Test images.
        checkpoint: Digest of the checkpoint.
    """

    network: MLPNet
    training: LabelledImages
    held_out: LabelledImages
    test: LabelledImages
    checkpoint: str
    chosen_by: str = "held_out_accuracy"

    @classmethod
    def read(
        cls, images: Path, checkpoint: Path, num_images: int | None, num_held_out: int
    ) -> "MLPNetStudy":
        """Read images and checkpoint.

        Args:
            images: Folder of MNIST, as torchvision's `root`.
            checkpoint: File of the dense network.
            num_images: How many training images are used, held-out ones among them; None for all.
            num_held_out: How many of them settings are chosen by.

        Raises:
            InputError: A file is missing or not what it should be.
        """
        remedy = "Give the MLPNet checkpoint of the WoodFisher code"
        try:
            network = load_mlpnet(checkpoint)
        except OSError as error:
            message = f"it cannot be read ({error.strerror})"
            raise InputError([Fault(str(checkpoint), message, remedy)]) from error
        except ValueError as error:
            message = "it is no checkpoint of the MLPNet"
            raise InputError([Fault(str(checkpoint), message, remedy)]) from error
        read = read_images(images, "mnist")
        train, test = (
            LabelledImages(
                torch.from_numpy(pixels), torch.from_numpy(labels), MNIST_MEAN, MNIST_DEVIATION
            )
            for pixels, labels in (
                (read.train_images, read.train_labels),
                (read.test_images, read.test_labels),
            )
        )
        if num_images is not None:
            train = train.take(torch.arange(num_images))
        training, held_out = train.split(num_held_out, SPLIT_SEED)
        return cls(network, training, held_out, test, digest_file(checkpoint).sha256)

    @property
    def described(self) -> Mapping[str, Any]:
        """What its cells depend on, as JSON values."""
        return {
            "network": "mlpnet",
            "checkpoint": self.checkpoint,
            "training": len(self.training),
            "held_out": len(self.held_out),
            "test": len(self.test),
            "batch_size": BATCH_SIZE,
            "split_seed": SPLIT_SEED,
        }

    def subject(self, seed: int) -> Subject:
        """The network, with the training images in the order of a seed."""
        order = torch.randperm(len(self.training), generator=torch.Generator().manual_seed(seed))
        batches = list(self.training.take(order).batches(BATCH_SIZE))
        return Subject(self.network, Categorical(), batches)

    def for_choice(self) -> "MLPNetStudy":
        """Itself: all its figures are quick."""
        return self

    def dense_figures(self) -> Mapping[str, float]:
        """Figures of the dense network."""
        return self._figures(self.network)

    def figures(self, pruned: Pruned) -> Mapping[str, float]:
        """Accuracy and cross-entropy on held-out and test images."""
        return self._figures(pruned.network)

    def _figures(self, network: torch.nn.Module) -> dict[str, float]:
        figures = {}
        for split, images in (("held_out", self.held_out), ("test", self.test)):
            quality = evaluate(network, images)
            figures[f"{split}_accuracy"] = quality.accuracy
            figures[f"{split}_cross_entropy"] = quality.cross_entropy
        return figures
