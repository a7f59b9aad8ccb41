"""Image data sets as rows of normalised pixels."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from data.images import Images
from gn_study.studies.study_data import Part, StudyData
from pipelines.gauss_newton_study.data_options import DataOptions
from pipelines.gauss_newton_study.parts import drawn

MEAN_AND_DEVIATION: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion-mnist": ((0.2860,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
"""Of each channel of the training pixels in [0, 1]; those of the released configurations."""


def image_data(options: DataOptions, images: Images) -> StudyData:
    """A study's parts of an image data set: training and validation from its training images.

    Args:
        options: How many of each, and how coarse.
        images: The data set.

    Raises:
        InputError: There are too few images.
    """
    held = drawn(
        None if options.train is None else options.train + options.validation,
        len(images.train_images), options, "training",
    )  # fmt: skip
    validation, train = held[: options.validation], held[options.validation :]
    test = drawn(options.test, len(images.test_images), options, "test")

    def part(pixels: np.ndarray, labels: np.ndarray, rows: Tensor) -> Part:
        chosen = rows.numpy()
        return Part(_rows(pixels[chosen], options), torch.from_numpy(labels[chosen]))

    return StudyData(
        options.title,
        train=part(images.train_images, images.train_labels, train),
        validation=part(images.train_images, images.train_labels, validation),
        test=part(images.test_images, images.test_labels, test),
        num_outputs=images.num_classes,
        image_shape=_shape(images.train_images, options.pooling),
    )


def _rows(pixels: np.ndarray, options: DataOptions) -> Tensor:
    """Pooled, normalised and flattened images, float32."""
    means, deviations = MEAN_AND_DEVIATION[options.name]
    unit = torch.from_numpy(pixels).float() / 255
    if options.pooling > 1:
        unit = F.avg_pool2d(unit, options.pooling)
    mean, deviation = (torch.tensor(values).reshape(-1, 1, 1) for values in (means, deviations))
    return ((unit - mean) / deviation).flatten(start_dim=1)


def _shape(pixels: np.ndarray, pooling: int) -> tuple[int, int, int]:
    _, channels, height, width = pixels.shape
    return channels, height // pooling, width // pooling
