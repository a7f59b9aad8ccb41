"""A training step of the studies' ResNet-18 with its own convolutions, and with torch's."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from matplotlib.figure import Figure
from torch import nn

from compression.studies.convolutions import Convolution
from compression.studies.networks import LEAST_WIDTH, ResNet18
from compression.studies.pictures import CIFAR10_DEVIATION, CIFAR10_MEAN, LabelledImages
from compression.studies.training import DenseTraining, TrainingSettings
from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.charts import bars
from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.measuring import times_in_turns

OURS, STOCK = "compression.studies.convolutions", "torch.nn.Conv2d"
SIDES = {"images of 32 x 32": 32, "cuts of 24 x 24": 24}
STEPS = 3
BATCH_SIZE = 128
NUM_CLASSES = 10


class DenseTrainingStep:
    """Three steps in turns, on images of noise.

    Without instructions for bfloat16 both contenders compute the same.
    """

    name: ClassVar[str] = "dense_training"
    title: ClassVar[str] = "one training step of ResNet-18 (synthetic images)"
    is_kept: ClassVar[bool] = False

    def parts(self, settings: Settings) -> Sequence[str]:
        """One for each size of images."""
        return list(SIDES)

    def measure(self, part: str, settings: Settings) -> Sequence[Measurement]:
        """Time both contenders on images of one size."""
        contenders = {
            name: make_training(name, SIDES[part], settings).run_epoch for name in (OURS, STOCK)
        }
        return times_in_turns(part, contenders, settings.repeats, STEPS)

    def conclude(self, measurements: Sequence[Measurement]) -> Sequence[Measurement]:
        """Nothing more."""
        return []

    def figures(self, measurements: Sequence[Measurement]) -> Mapping[str, Figure]:
        """Bars of both contenders."""
        return {self.name: bars(measurements, self.title)}


def make_training(contender: str, side: int, settings: Settings) -> DenseTraining:
    """A training whose epochs are three steps.

    Args:
        contender: Whose convolutions: `OURS` or `STOCK`.
        side: Of the images that the network sees, in pixels.
        settings: Scale of width and batch, repeats and seed.
    """
    torch.manual_seed(settings.seed)
    network = ResNet18(NUM_CLASSES, max(LEAST_WIDTH, round(64 * settings.scale)))
    if contender == STOCK:
        for module in network.modules():
            if isinstance(module, Convolution):
                module.__class__ = nn.Conv2d  # type: ignore[assignment]
    batch_size = max(2, round(BATCH_SIZE * settings.scale))
    number = STEPS * batch_size
    images = LabelledImages(
        torch.randint(256, (number, 3, 32, 32), dtype=torch.uint8),
        torch.arange(number) % NUM_CLASSES,
        CIFAR10_MEAN,
        CIFAR10_DEVIATION,
    )
    epochs = settings.repeats + 1
    training = TrainingSettings(epochs=epochs, cuts=((epochs, side),), batch_size=batch_size)
    return DenseTraining(network, images, training)
