"""The options that name a source, shared by `ingest` and `train`."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.sources.base import Source
from data.sources.graphreturns import GraphReturns
from data.sources.orders import Orders
from data.sources.tables import Tables
from data.sources.twin import Twin
from data.validation import Fault, InputError
from pipelines.home import Home

SourceName = Literal["twin", "graphreturns", "orders", "tables"]


@dataclass(frozen=True)
class SourceArguments:
    """Where the purchase tables come from."""

    path: Path | None = None
    """Files of the source. graphreturns: folder of the six tables (.p or .csv), downloaded from
    OSF if not given; orders: the CSV file; tables: the mapping YAML. Not used by twin."""
    scale: float = 0.02
    """Size of the synthetic twin; 1.0 is the size of GraphReturns."""
    test_from: datetime.date | None = None
    """First day of the test split of dated sources (default: first of the last month)."""
    validation_from: datetime.date | None = None
    """First day of the validation split (default: first of the month before the test split)."""

    def build(self, name: SourceName, seed: int, home: Home) -> Source:
        """The source of that name.

        Args:
            name: Name of the source.
            seed: Of the synthetic twin.
            home: Where generated and downloaded files go.

        Raises:
            InputError: An option is missing, or is not for this source.
        """
        self._check(name)
        if name == "twin":
            return Twin(self.scale, seed, home.synthetic)
        if name == "graphreturns":
            if self.path is None:
                return GraphReturns.from_osf(home.downloads / "graphreturns")
            return GraphReturns(self.path)
        assert self.path is not None
        if name == "orders":
            return Orders(self.path, self.test_from, self.validation_from)
        return Tables.from_file(self.path, self.test_from, self.validation_from)

    def _check(self, name: SourceName) -> None:
        faults = []
        if name in ("orders", "tables") and self.path is None:
            what = "the CSV file" if name == "orders" else "the mapping YAML"
            faults.append(Fault("--path", f"source {name} needs it", f"Give {what}"))
        if name == "twin" and self.path is not None:
            message = "source twin is generated and reads no files"
            faults.append(Fault("--path", message, "Name another source, or leave --path out"))
        if name == "twin" and not 0 < self.scale <= 10:
            faults.append(Fault("--scale", f"{self.scale} is out of range", "Use 0 < scale <= 10"))
        if name in ("twin", "graphreturns") and (self.test_from or self.validation_from):
            message = f"source {name} has no dates"
            faults.append(Fault("--test-from", message, "Leave the dates out"))
        if faults:
            raise InputError(faults)


def described(source: str) -> str:
    """A source's name, with the word that generated data never goes without."""
    return f"{source} (synthetic)" if source == "twin" else source
