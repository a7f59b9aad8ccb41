"""Intervals over seeds, and what they decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
from scipy.stats import t as student_t

LEVEL = 0.95


class Verdict(StrEnum):
    """What the runs say of a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    UNDECIDED = "undecided"
    NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Interval:
    """Mean of one figure a seed and its 95 % Student interval.

    Attributes:
        mean: Over seeds.
        low: Lower end.
        high: Upper end.
        seeds: How many figures there were.
    """

    mean: float
    low: float
    high: float
    seeds: int

    @classmethod
    def over_seeds(cls, values: Sequence[float] | np.ndarray) -> Self:
        """The interval of independent figures; unbounded of fewer than two, or of infinite ones.

        Args:
            values: One a seed.
        """
        array = np.asarray(values, dtype=np.float64)
        mean = float(array.mean()) if len(array) else np.nan
        if len(array) < 2 or not np.isfinite(array).all():
            return cls(mean, -np.inf, np.inf, len(array))
        quantile = student_t.ppf((1 + LEVEL) / 2, len(array) - 1)
        reach = float(quantile * array.std(ddof=1) / np.sqrt(len(array)))
        return cls(mean, mean - reach, mean + reach, len(array))

    def verdict(self) -> Verdict:
        """Reproduced if all of the interval is above 0, not reproduced if all is below."""
        if self.low > 0:
            return Verdict.REPRODUCED
        if self.high < 0:
            return Verdict.NOT_REPRODUCED
        return Verdict.UNDECIDED

    def verdict_within(self, margin: float) -> Verdict:
        """Reproduced if all of the interval is within a margin of 0, not if all is outside."""
        if -margin < self.low and self.high < margin:
            return Verdict.REPRODUCED
        if self.low > margin or self.high < -margin:
            return Verdict.NOT_REPRODUCED
        return Verdict.UNDECIDED

    def text(self) -> str:
        """Mean and interval as text."""
        if self.seeds < 2 or not np.isfinite(self.low):
            return f"{self.mean:.3g}"
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


def combined(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict of several data sets: one that most of them share and none contradicts.

    Args:
        verdicts: Of each data set; those not tested do not count.
    """
    tested = [verdict for verdict in verdicts if verdict is not Verdict.NOT_TESTED]
    if not tested:
        return Verdict.NOT_TESTED
    decided = set(tested) - {Verdict.UNDECIDED}
    if len(decided) == 1 and tested.count(Verdict.UNDECIDED) < len(tested) / 2:
        return decided.pop()
    return Verdict.UNDECIDED
