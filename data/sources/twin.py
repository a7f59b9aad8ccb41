"""The synthetic twin of ASOS GraphReturns: generated into a folder, read like the release."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.files import atomic_folder
from data.reporter import Reporter
from data.sources.base import Options, SourceTables
from data.sources.graphreturns import GraphReturns
from data.synthesis.files import PROBABILITY, TABLE_FILES, TRUTH_FILES
from data.synthesis.generate import GENERATOR_VERSION, SMALLEST_SCALE, generate_release
from data.validation import Fault, InputError


@dataclass(frozen=True)
class Twin:
    """Synthetic data in the layout, the size and the quirks of ASOS GraphReturns.

    Attributes:
        scale: Size relative to the release.
        seed: Seed of all randomness, not negative.
        folder: Holds one generated folder for each scale, seed and version of the generator.
    """

    scale: float
    seed: int
    folder: Path

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            InputError: An option is out of range.
        """
        faults = []
        if not SMALLEST_SCALE <= self.scale < float("inf"):
            message = f"the scale is {self.scale}"
            faults.append(Fault("twin", message, f"Give a number from {SMALLEST_SCALE} up"))
        if self.seed < 0:
            faults.append(Fault("twin", f"the seed is {self.seed}", "Give a number from 0 up"))
        if faults:
            raise InputError(faults)

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "twin"

    @property
    def options(self) -> Options:
        """Scale, seed and version of the generator: they decide every byte."""
        return {
            "scale": float(self.scale),
            "seed": self.seed,
            "generator_version": GENERATOR_VERSION,
        }

    def files(self, reporter: Reporter) -> Sequence[Path]:
        """The six tables and the two files of truth, generated unless they are there."""
        target = self._generated
        if not target.exists():
            with atomic_folder(target) as partial:
                generate_release(self.scale, self.seed, partial, reporter)
        return [target / name for name in (*TABLE_FILES, *TRUTH_FILES)]

    def read(self, reporter: Reporter) -> SourceTables:
        """Read the tables as the release's are read, with each event's true probability beside.

        Raises:
            InputError: A file was changed so that it cannot be used.
        """
        self.files(reporter)
        tables = GraphReturns(self._generated).read(reporter)
        truth = pa.concat_tables([pq.read_table(self._generated / name) for name in TRUTH_FILES])
        if truth.num_rows != tables.events.num_rows:
            message = f"{truth.num_rows} probabilities for {tables.events.num_rows} events"
            remedy = "The files were changed: delete the folder, it is generated again"
            raise InputError([Fault(str(self._generated), message, remedy)])
        probability = truth[PROBABILITY].combine_chunks()
        return dataclasses.replace(tables, true_probability=probability)

    def read_new_events(self, path: Path) -> SourceTables:
        """Read events to score in the release's format, as `GraphReturns` does.

        Raises:
            InputError: The file cannot be used.
        """
        return GraphReturns(self._generated).read_new_events(path)

    @property
    def _generated(self) -> Path:
        options = f"scale-{float(self.scale)}-seed-{self.seed}-version-{GENERATOR_VERSION}"
        return self.folder / f"twin-{options}"
