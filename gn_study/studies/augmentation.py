"""Random crops of images, resized to the images' own size."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

SCALE = (0.08, 1.0)
"""Share of the image's area that a crop keeps (the paper's CIFAR-10 configuration)."""

RATIO = (3 / 4, 4 / 3)
"""Width of a crop over its height, before it is clipped to the image."""


def random_resized_crop(
    rows: Tensor, shape: tuple[int, int, int], generator: torch.Generator
) -> Tensor:
    """Crop each image at random and resize the crop bilinearly.

    Args:
        rows: Flattened images `(num_samples, channels * height * width)`.
        shape: `(channels, height, width)`.
        generator: Of the crops, on the CPU.

    Returns:
        Shape of `rows`.
    """
    number = len(rows)
    area = torch.empty(number).uniform_(*SCALE, generator=generator)
    log_ratio = torch.empty(number).uniform_(*map(math.log, RATIO), generator=generator)
    # Half-sizes and centre of each crop, in coordinates that run from -1 to 1 over the image.
    half_width = (area * log_ratio.exp()).sqrt().clamp(max=1)
    half_height = (area / log_ratio.exp()).sqrt().clamp(max=1)
    place = 2 * torch.rand(number, 2, generator=generator) - 1
    affine = torch.zeros(number, 2, 3)
    affine[:, 0, 0], affine[:, 0, 2] = half_width, place[:, 0] * (1 - half_width)
    affine[:, 1, 1], affine[:, 1, 2] = half_height, place[:, 1] * (1 - half_height)
    images = rows.reshape(number, *shape)
    grid = F.affine_grid(affine.to(rows), [number, *shape], align_corners=False)
    cropped = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return cropped.reshape(rows.shape)
