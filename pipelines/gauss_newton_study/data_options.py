"""Which samples of which data set a suite uses."""

from dataclasses import dataclass
from typing import Literal, get_args

ImageName = Literal["mnist", "fashion-mnist", "cifar10"]
DataName = Literal[
    "teacher", "digits", "mnist", "fashion-mnist", "cifar10", "wine", "superconductivity", "returns"
]
IMAGE_NAMES: tuple[str, ...] = get_args(ImageName)


@dataclass(frozen=True)
class DataOptions:
    """A data set, cut down to a size and perhaps made harder.

    Attributes:
        name: Which: `teacher` is generated (synthetic); `digits` and `wine` ship with
            scikit-learn; the others are read from files.
        train: Samples of the training part; None: all that are left.
        validation: Samples of the validation part, never trained on.
        test: Samples of the test part; None: all there are.
        label_noise: Share of the training labels that are drawn anew at random.
        pooling: Side of the squares of pixels that are averaged; 1: images as they are.
        seed: Which samples are drawn, and the teacher.
    """

    name: DataName
    train: int | None
    validation: int
    test: int | None = None
    label_noise: float = 0.0
    pooling: int = 1
    seed: int = 0

    @property
    def is_regression(self) -> bool:
        """Whether values are predicted instead of classes."""
        return self.name in ("wine", "superconductivity")

    @property
    def title(self) -> str:
        """What tables and figures call it."""
        title: str = "teacher (synthetic)" if self.name == "teacher" else self.name
        if self.pooling > 1:
            title += f", pooled {self.pooling} x {self.pooling}"
        if self.label_noise:
            title += f", {self.label_noise:.0%} label noise"
        return title
