"""Order lines to score, and what they name among what is remembered."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa

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
        own: The lines' own codes by single key, int32 `(num_lines,)` each, -1 unknown: kept for all
            lines, however many there are.
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
        own = {name: code.astype(np.int32) for name, code in keys.single(lines, protocol).items()}
        return cls(lines, keys, own, translations)

    def __len__(self) -> int:
        """Number of order lines."""
        return int(self.lines.events.num_rows)

    @cached_property
    def first_day(self) -> int:
        """The first day of dated lines; a day beyond all where there is no line."""
        return int(self._day.min(initial=np.iinfo(np.int64).max))

    @cached_property
    def has_several_days(self) -> bool:
        """Whether dated lines are of more than one day, so that some come before others."""
        return bool((self._day > self.first_day).any())

    def all_lines(self) -> "RequestPart":
        """All lines as one part."""
        return RequestPart(self, np.arange(len(self)), self.lines)

    def part(self, rows: np.ndarray) -> "RequestPart":
        """Some of the lines.

        Args:
            rows: Their numbers, int64 `(num_rows,)`.
        """
        lines = replace(self.lines, events=self.lines.events.take(pa.array(rows)))
        return RequestPart(self, rows, lines)

    @property
    def _day(self) -> np.ndarray:
        day = EventArrays.of(self.lines).day
        if day is None:
            raise ValueError("the order lines carry no date")
        return day


@dataclass(frozen=True)
class RequestPart:
    """Some of a request's order lines, which are described and scored at a time.

    Attributes:
        request: All order lines.
        rows: Numbers of the part's, int64 `(num_rows,)`.
        lines: The part's order lines; node rows of all.
    """

    request: Request
    rows: np.ndarray
    lines: Dataset

    @cached_property
    def own(self) -> dict[str, np.ndarray]:
        """The lines' own codes by single key, int64 `(num_rows,)` each, -1 unknown."""
        own = self.request.own
        return {name: code[self.rows].astype(np.int64) for name, code in own.items()}

    @cached_property
    def known(self) -> dict[str, np.ndarray]:
        """Remembered codes of the lines by single key, -1 unknown or not remembered."""
        translations = self.request.translations
        return {name: translations[name].known(code) for name, code in self.own.items()}

    @cached_property
    def distinct(self) -> dict[str, np.ndarray]:
        """Codes that tell all levels apart, remembered or not, by single key, -1 unknown."""
        translations = self.request.translations
        return {name: translations[name].distinct(code) for name, code in self.own.items()}

    @cached_property
    def day(self) -> np.ndarray | None:
        """Day of each line, int64 `(num_rows,)`; None if undated."""
        return EventArrays.of(self.lines).day

    @cached_property
    def quantities(self) -> dict[str, np.ndarray]:
        """What `returns.neighbour_search.told_quantities` gives for the lines."""
        return told_quantities(self.lines, self.request.keys)
