"""Loaded arrays of a study: three parts of one data set."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Part:
    """Samples and what they should map to.

    Attributes:
        inputs: float `(num_samples, width)`.
        targets: Class numbers int64 `(num_samples,)`, or values float `(num_samples, num_outputs)`.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.inputs)

    def first(self, number: int) -> Self:
        """The first samples, at most as many as there are."""
        return type(self)(self.inputs[:number], self.targets[:number])

    def to(self, device: torch.device) -> Self:
        """The part on a device."""
        return type(self)(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True)
class StudyData:
    """A data set cut into the part that is trained on, the one choices are made on, and the test.

    Attributes:
        name: What figures and tables call it.
        train: Trained on.
        validation: Learning rates are chosen on it; it is never trained on.
        test: Reported, never chosen on.
        num_outputs: Classes, or regressed values.
        image_shape: `(channels, height, width)` where a row is an image, else None.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    num_outputs: int
    image_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit each other.

        Raises:
            ValueError: A part is empty, is not finite, or its width is not that of the others.
        """
        for title, part in self.parts.items():
            if not len(part) or len(part) != len(part.targets):
                raise ValueError(f"{self.name}: the {title} part has no samples, or lacks targets")
            if part.inputs.shape[1:] != self.train.inputs.shape[1:]:
                raise ValueError(f"{self.name}: inputs of the {title} part have another width")
            if not part.inputs.isfinite().all():
                raise ValueError(f"{self.name}: inputs of the {title} part are not all finite")

    @property
    def parts(self) -> dict[str, Part]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def width(self) -> int:
        """Columns of the inputs."""
        return int(self.train.inputs.shape[1])

    @property
    def is_classification(self) -> bool:
        """Whether targets are class numbers."""
        return not self.train.targets.is_floating_point()

    def to(self, device: torch.device) -> Self:
        """The data on a device."""
        return replace(
            self,
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
        )


def even_width(inputs: Tensor) -> Tensor:
    """Inputs with a column of zeros appended where their width is odd: couplings halve it.

    Args:
        inputs: `(num_samples, width)`.
    """
    if inputs.shape[1] % 2 == 0:
        return inputs
    return torch.cat([inputs, inputs.new_zeros(len(inputs), 1)], dim=1)
