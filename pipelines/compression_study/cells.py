"""Cells of the tables of a pruning study: each is measured once, and kept as a small JSON file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compression.studies.methods import Setting
from data.files import atomic_file

LAYOUT = 1
"""Of the files; cells of another layout are measured again."""


@dataclass(frozen=True)
class CellKey:
    """What a cell's figures depend on, beside the code.

    Attributes:
        method: Name of the method.
        setting: Of the method.
        stages: In which the network was pruned; 1 for at once.
        sparsity: That was asked for.
        seed: Of data order and method.
        subject: What is pruned and on what, as JSON values.
    """

    method: str
    setting: Setting
    stages: int
    sparsity: float
    seed: int
    subject: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the cell's file."""
        content = json.dumps([LAYOUT, asdict(self)], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        return f"{self.method}-{self.stages}-{self.sparsity:g}-{digest}.json"


@dataclass(frozen=True)
class Cell:
    """A measured cell.

    Attributes:
        key: What it is of.
        figures: By name; of a split, they begin with its name. None at all where the method
            diverged.
        seconds: Of estimating curvature and pruning.
        curvature_mib: Size of the estimate, in MiB.
    """

    key: CellKey
    figures: Mapping[str, float]
    seconds: float
    curvature_mib: float


class CellStore:
    """A folder of measured cells."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made with the first cell."""
        self._folder = folder

    def find(self, key: CellKey) -> Cell | None:
        """The cell, if it was measured."""
        path = self._folder / key.name
        if not path.is_file():
            return None
        content = json.loads(path.read_text())
        return Cell(key, content["figures"], content["seconds"], content["curvature_mib"])

    def keep(self, cell: Cell) -> None:
        """Write a cell; it is there whole or not at all."""
        with atomic_file(self._folder / cell.key.name) as partial:
            partial.write_text(json.dumps(asdict(cell), indent=1) + "\n")
