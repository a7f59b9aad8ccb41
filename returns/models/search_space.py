"""Ranges of hyper-parameters that tuning chooses from, said without any tuner's words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FloatRange:
    """Real numbers from `low` to `high`, both included.

    Attributes:
        low: Least value.
        high: Greatest value.
        log: Whether equal ratios, not equal differences, are equally likely.

    Raises:
        ValueError: The range is empty, or logarithmic and not positive.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        """See that the range can be drawn from."""
        _require_bounds(self.low, self.high, self.log)

    def __contains__(self, value: object) -> bool:
        """Whether a value may be chosen."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high


@dataclass(frozen=True)
class IntegerRange:
    """Whole numbers from `low` to `high`, both included.

    Attributes:
        low: Least value.
        high: Greatest value.
        log: Whether equal ratios, not equal differences, are equally likely.

    Raises:
        ValueError: The range is empty, or logarithmic and not positive.
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        """See that the range can be drawn from."""
        _require_bounds(self.low, self.high, self.log)

    def __contains__(self, value: object) -> bool:
        """Whether a value may be chosen."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """One of a few values without an order.

    Attributes:
        values: The values.

    Raises:
        ValueError: There is no value, or one twice.
    """

    values: tuple[bool | int | float | str | None, ...]

    def __post_init__(self) -> None:
        """See that the values can be drawn from."""
        if not self.values or len(set(self.values)) < len(self.values):
            raise ValueError(f"a choice needs values, each once: {self.values}")

    def __contains__(self, value: object) -> bool:
        """Whether a value may be chosen."""
        return value in self.values


SearchSpace = Mapping[str, FloatRange | IntegerRange | Choice]
"""The range of each tuned hyper-parameter, by the name of the constructor's argument."""


def _require_bounds(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"a range needs finite bounds, the lower one first: {low} to {high}")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range must be positive: {low} to {high}")
