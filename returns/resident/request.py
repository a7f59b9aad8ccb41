"""Order lines to score, and what they name among what is remembered."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from data.dataset import Dataset
from returns.history_keys import HistoryKeys
from returns.knowledge import EventArrays
from returns.neighbour_search import told_quantities
from returns.protocol import Protocol
from returns.resident.levels import Levels, Translation


@dataclass(frozen=True)
class Request:
    """Order lines of split `test`, apart from everything remembered.

    Attributes:
        lines: The order lines and their node rows.
        keys: Keys of the history.
        own: The lines' own codes by single key, int64 `(num_lines,)` each, -1 unknown.
        translations: From these to remembered codes.
    """

    lines: Dataset
    keys: HistoryKeys
    own: Mapping[str, np.ndarray]
    translations: Mapping[str, Translation]

    @classmethod
    def of(
        cls,
        lines: Dataset,
        keys: HistoryKeys,
        protocol: Protocol,
        remembered: Mapping[str, Levels],
    ) -> Self:
        """Look up what order lines name.

        Args:
            lines: The order lines and their node rows.
            keys: Keys of the history.
            protocol: Which columns are seen.
            remembered: Remembered levels by single key.
        """
        translations = {
            name: Translation.of(remembered[name], levels)
            for name, levels in keys.levels(lines, protocol).items()
        }
        return cls(lines, keys, keys.single(lines, protocol), translations)

    @cached_property
    def known(self) -> dict[str, np.ndarray]:
        """Remembered codes of the lines by single key, -1 unknown or not remembered."""
        return {name: self.translations[name].known(code) for name, code in self.own.items()}

    @cached_property
    def distinct(self) -> dict[str, np.ndarray]:
        """Codes that tell all levels apart, remembered or not, by single key, -1 unknown."""
        return {name: self.translations[name].distinct(code) for name, code in self.own.items()}

    @cached_property
    def day(self) -> np.ndarray | None:
        """Day of each line, int64 `(num_lines,)`; None if undated."""
        return EventArrays.of(self.lines).day

    @cached_property
    def quantities(self) -> dict[str, np.ndarray]:
        """What `returns.neighbour_search.told_quantities` gives for the lines."""
        return told_quantities(self.lines, self.keys)
