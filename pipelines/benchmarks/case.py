"""What every benchmark case is, and what it is run with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from matplotlib.figure import Figure

from pipelines.benchmarks.measurement import Measurement


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        scale: Size of the synthetic data; 1.0 is the size of GraphReturns.
        repeats: How often what takes seconds is measured; what takes minutes, once.
        threads: Threads and cores that a measured process has.
        epochs: Of neural models that are fitted; None for their own default.
        seed: Of synthetic data, models and draws.
        home: Folder of all state.
    """

    scale: float
    repeats: int
    threads: int
    epochs: int | None
    seed: int
    home: Path


class Case(Protocol):
    """A hot path measured against a named alternative.

    Attributes:
        name: Name on the command line.
        title: What stands above its table.
        is_kept: Whether its finished parts are kept, so that a killed run goes on where it was:
            for cases that take long.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    is_kept: ClassVar[bool]

    def parts(self, settings: Settings) -> Sequence[str]:
        """Names of the parts; each is measured in a fresh process, so its peak memory is its own.

        Contenders whose times are compared are measured in turns in the same part.
        """

    def measure(self, part: str, settings: Settings) -> Sequence[Measurement]:
        """Measure one part, in this process."""

    def conclude(self, measurements: Sequence[Measurement]) -> Sequence[Measurement]:
        """What follows from the measurements of all parts."""

    def figures(self, measurements: Sequence[Measurement]) -> Mapping[str, Figure]:
        """Plots of all measurements, by file name."""
