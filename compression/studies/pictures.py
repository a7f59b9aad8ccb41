"""Labelled images of a study as tensors, and the batches made of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

MNIST_MEAN, MNIST_DEVIATION = (0.1307,), (0.3081,)
CIFAR10_MEAN, CIFAR10_DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class LabelledImages:
    """Images of one split, kept as bytes until a batch is asked for.

    Attributes:
        pixels: uint8 `(num_images, channels, height, width)`.
        labels: int64 `(num_images,)`.
        mean: Mean of each channel, of pixels scaled to [0, 1].
        deviation: Standard deviation of each channel, on the same scale.
    """

    pixels: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> "LabelledImages":
        """The images of some rows, in their order."""
        return LabelledImages(self.pixels[rows], self.labels[rows], self.mean, self.deviation)

    def split(self, held_out: int, seed: int) -> tuple["LabelledImages", "LabelledImages"]:
        """Two disjoint random parts: all but `held_out` images, and those.

        Raises:
            ValueError: `held_out` leaves one part empty.
        """
        if not 0 < held_out < len(self):
            raise ValueError(f"cannot hold out {held_out} of {len(self)} images")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self.take(order[held_out:]), self.take(order[:held_out])

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels as the networks take them: float32, centred, scaled, channels last in memory."""
        mean = torch.tensor(self.mean).view(1, -1, 1, 1)
        deviation = torch.tensor(self.deviation).view(1, -1, 1, 1)
        values = (pixels.float() / 255 - mean) / deviation
        return values.contiguous(memory_format=torch.channels_last)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised images and labels, in order; the last batch may be smaller."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield self.normalised(self.pixels[rows]), self.labels[rows]


def cropped_and_flipped(
    pixels: Tensor, padding: int, size: int, generator: torch.Generator
) -> Tensor:
    """A square cut at random out of each image and a reflected border; mirrored with chance 1/2.

    Args:
        pixels: `(batch, channels, side, side)`.
        padding: Width of the border in pixels.
        size: Side of the square, at most `side + 2 * padding`.
        generator: Source of the places and flips.

    Returns:
        `(batch, channels, size, size)` of the same dtype, channels last in memory.
    """
    number, _, side, _ = pixels.shape
    # Reflection as an index, since padding of bytes is not implemented.
    reflected = torch.arange(-padding, side + padding).abs()
    reflected = torch.minimum(reflected, 2 * (side - 1) - reflected)
    top, left = torch.randint(side + 2 * padding - size + 1, (2, number, 1), generator=generator)
    rows = reflected[top + torch.arange(size)]
    columns = reflected[left + torch.arange(size)]
    mirrored = torch.rand(number, 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    image = torch.arange(number).view(-1, 1, 1)
    # Indices around the slice put the channels last.
    return pixels[image, :, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)
