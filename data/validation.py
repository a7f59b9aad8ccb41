"""Faults of input: collected all at once, reported together, rows set aside with their reason."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.schema import REJECTS

MOST_FAULTS_SHOWN = 50


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an input file, and what to do about it.

    Attributes:
        file: Name of the file as the user knows it.
        message: What is wrong.
        remedy: What to do.
        column: Column concerned, if one.
        row: 1-based data row concerned, if one.
    """

    file: str
    message: str
    remedy: str
    column: str | None = None
    row: int | None = None

    def __str__(self) -> str:
        """The fault as one line: file, row, column, message, remedy."""
        place = self.file
        if self.row is not None:
            place += f", row {self.row}"
        if self.column is not None:
            place += f", column '{self.column}'"
        return f"{place}: {self.message}. {self.remedy}"


class InputError(ValueError):
    """The input cannot be used; carries every fault found, not only the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        lines = [f"  - {fault}" for fault in self.faults[:MOST_FAULTS_SHOWN]]
        if len(self.faults) > MOST_FAULTS_SHOWN:
            lines.append(f"  ... and {len(self.faults) - MOST_FAULTS_SHOWN} more")
        number = f"{len(self.faults)} fault" + ("s" if len(self.faults) != 1 else "")
        super().__init__(f"the input cannot be used ({number}):\n" + "\n".join(lines))


def missing_columns(file: str, present: Sequence[str], required: Iterable[str]) -> list[Fault]:
    """One fault for each required column that a file does not have.

    Args:
        file: Name of the file as the user knows it.
        present: Column names found.
        required: Column names needed.
    """
    return [
        Fault(file, "the column is missing", f"Columns found: {', '.join(present)}", column=name)
        for name in required
        if name not in present
    ]


class RowSieve:
    """Sets rows of one table aside, each with the first reason found against it."""

    def __init__(self, file: str, num_rows: int, read: Callable[[], pa.Table]) -> None:
        """Start with every row kept.

        Args:
            file: Name of the file that the rows come from.
            num_rows: Their number.
            read: Gives the rows as they were read; called if some are set aside.
        """
        self._file = file
        self._read = read
        self._reasons: list[str] = []
        self._reason_of_row = np.full(num_rows, -1, dtype=np.int32)

    def reject(self, rows: np.ndarray, reason: str) -> None:
        """Set rows aside unless an earlier check already did.

        Args:
            rows: Boolean mask, shape `(num_rows,)`, true for a faulty row.
            reason: Why, with the column's name.
        """
        if not rows.any():
            return
        new = rows & self.kept()
        if new.any():
            self._reason_of_row[new] = len(self._reasons)
            self._reasons.append(reason)

    def kept(self) -> np.ndarray:
        """Boolean mask of the rows without a fault, shape `(num_rows,)`."""
        return self._reason_of_row < 0

    def rejects(self) -> pa.Table:
        """The rows set aside, in file order, with schema `REJECTS`."""
        if not self._reasons:
            return REJECTS.empty_table()
        rows = np.flatnonzero(~self.kept())
        reasons = np.array(self._reasons, dtype=object)[self._reason_of_row[rows]]
        content = self._read().take(pa.array(rows)).to_pylist()
        return pa.table(
            [
                pa.array([self._file] * len(rows), pa.string()),
                pa.array(rows + 1, pa.int64()),
                pa.array(reasons, pa.string()),
                pa.array([json.dumps(row, default=str) for row in content], pa.string()),
            ],
            schema=REJECTS,
        )


def unparsed(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
    """Mask of the values that were given but could not be read as the wanted type.

    Args:
        before: Values as read, e.g. text.
        after: The same values parsed, null where parsing failed.
    """
    # Parsing makes values null, never the other way round.
    if after is before or after.null_count == before.null_count:
        return np.zeros(len(before), dtype=bool)
    failed = pc.and_(pc.is_valid(before), pc.is_null(after))
    return np.asarray(failed.to_numpy(zero_copy_only=False), dtype=bool)
