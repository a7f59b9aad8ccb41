"""Change of the loss by one update: on the batch it was computed from, on another, on held-out."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class BatchLosses:
    """Mean losses of one network on three sets of samples.

    Attributes:
        same: On the batch that the update is computed from.
        other: On another batch of the training part, not the one that the update knows.
        held_out: On samples that are never trained on.
    """

    same: float
    other: float
    held_out: float


@dataclass(frozen=True)
class UpdateEffect:
    """Percentage change of the three losses by one update; negative is progress.

    The paper's section 5.2 (its figure 3) reports `same` alone, which cannot tell learning from
    over-fitting a batch; the two others can.

    Attributes:
        same: `100 (after - before) / before` on the batch of the update.
        other: The same on another training batch.
        held_out: The same on held-out samples.
    """

    same: float
    other: float
    held_out: float

    @classmethod
    def between(cls, before: BatchLosses, after: BatchLosses) -> Self:
        """The effect of the update between two measurements of the same three sets.

        A loss of 0 before the update has no percentage change: it becomes NaN.

        Args:
            before: Losses with the old weights.
            after: Losses with the new weights.
        """
        return cls(
            percentage_change(before.same, after.same),
            percentage_change(before.other, after.other),
            percentage_change(before.held_out, after.held_out),
        )

    @property
    def gap(self) -> float:
        """Percentage points by which another batch gained less than the update's own."""
        return self.other - self.same


def percentage_change(before: float, after: float) -> float:
    """`100 (after - before) / before`; NaN where `before` is 0."""
    return 100 * (after - before) / before if before else float("nan")
