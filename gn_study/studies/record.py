"""What one experiment leaves behind: a column of numbers for each figure, over epochs and steps."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from gn_study.studies.seeds import Seeds

NOT_MEASURED = float("nan")


class Columns:
    """Rows of named numbers; a row without a name leaves NaN there.

    Attributes:
        values: Per name one number a row.
    """

    def __init__(self) -> None:
        """No rows yet."""
        self.values: dict[str, list[float]] = {}
        self._rows = 0

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row."""
        for name in row.keys() - self.values.keys():
            self.values[name] = [NOT_MEASURED] * self._rows
        for name, column in self.values.items():
            column.append(float(row.get(name, NOT_MEASURED)))
        self._rows += 1


@dataclass(frozen=True)
class Record:
    """The outcome of one experiment.

    Attributes:
        epochs: Columns with one value an epoch, the state before training first; see
            `training.train` for their names.
        steps: Columns with one value a measured update.
        grams: Gram matrices of the last network's block outputs on the CKA probes, float64
            `(num_blocks, num_samples, num_samples)`; None where none were asked for.
        seeds: Of everything drawn.
        diverged: Whether training stopped because a loss was no longer finite.
        num_parameters: Trained numbers of the network.
    """

    epochs: dict[str, list[float]]
    steps: dict[str, list[float]]
    grams: Tensor | None
    seeds: Seeds
    diverged: bool
    num_parameters: int
