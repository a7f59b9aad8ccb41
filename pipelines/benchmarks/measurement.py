"""What a benchmark measures, as rows of figures."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

WALL, CPU, PEAK = "wall s", "CPU s", "peak GiB"
"""Quantities that most cases measure; CPU seconds are those of all threads together."""

ROOFLINE = "roofline"
"""Contender that no program can beat: what the machine's measured rates allow."""

GROWTH = "growth"
"""Contender that stands for all sizes: by which power of the size a quantity grows."""

BESIDE = (ROOFLINE, GROWTH)
"""Contenders that do nothing themselves."""


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeated figures."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """Spread of the values, `(num_values,)`."""
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        return cls(float(median), float(low), float(high))


@dataclass(frozen=True)
class Measurement:
    """One quantity of one contender at one task, measured once or repeatedly.

    Attributes:
        subject: The task.
        contender: Who did it.
        quantity: What was measured, with its unit.
        values: Every figure, in the order of measuring; finite.
    """

    subject: str
    contender: str
    quantity: str
    values: tuple[float, ...]

    @cached_property
    def spread(self) -> Spread:
        """Median and quartiles."""
        return Spread.of(np.array(self.values))

    def ratio_to(self, reference: "Measurement") -> Spread:
        """How many times as much as a reference; repeat by repeat if it has as many repeats."""
        own, other = np.array(self.values), np.array(reference.values)
        if len(own) != len(other):
            own, other = np.median(own, keepdims=True), np.median(other, keepdims=True)
        return Spread.of(own / other)

    def to_json(self) -> dict[str, Any]:
        """The measurement as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The measurement that `to_json` wrote."""
        return cls(**{**content, "values": tuple(content["values"])})
