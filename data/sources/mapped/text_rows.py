"""What rows of an input are before they are parsed: text, and which of it is read."""

import csv
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.schema import REJECTS
from data.validation import Fault, InputError, missing_columns

UNREADABLE = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error)
"""What damaged files raise."""


LARGEST_EXACT = 2.0**53
"""Largest whole number up to which a float64 knows all."""


@dataclass(frozen=True)
class Selection:
    """Which columns of an input are read.

    Attributes:
        required: Columns that must be there.
        optional: Columns read where they are there.
        ignored: Columns known and passed over.
        others_allowed: Whether columns beyond these are passed over or are a fault.
    """

    required: Sequence[str]
    optional: Sequence[str] = ()
    ignored: Sequence[str] = ()
    others_allowed: bool = False


@dataclass(frozen=True)
class TextRows:
    """The rows of one input, every value as text.

    Attributes:
        file: Name of the input as the user knows it.
        given: The selected columns in the types of the input.
        days: Columns that the input itself types as dates or times; their text is ISO 8601.
        numbers: 1-based number in the input of each row, int64 `(num_rows,)`.
        ragged: Rows that have too few or too many fields, schema `data.schema.REJECTS`.
    """

    file: str
    given: pa.Table
    days: frozenset[str]
    numbers: np.ndarray
    ragged: pa.Table

    def text(self, column: str) -> pa.ChunkedArray:
        """One of the selected columns as text."""
        return as_text(self.given[column])

    def is_text(self, column: str) -> bool:
        """Whether the input itself has one of the selected columns as text."""
        kind = self.given[column].type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        return bool(
            pa.types.is_string(kind)
            or pa.types.is_large_string(kind)
            or pa.types.is_string_view(kind)
        )

    def all_text(self) -> pa.Table:
        """All of them."""
        names = self.given.column_names
        return pa.table([self.text(name) for name in names], names=names)

    def only(self, numbers: np.ndarray) -> Self:
        """Some of the rows, without the ragged ones.

        Args:
            numbers: Of the rows wanted, int64 `(num_wanted,)`; others are passed over.
        """
        wanted = np.isin(self.numbers, numbers)
        return replace(
            self,
            given=self.given.filter(pa.array(wanted)),
            numbers=self.numbers[wanted],
            ragged=REJECTS.empty_table(),
        )


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of any plain type as text.

    Raises:
        pa.ArrowException: Its type is no plain one.
    """
    if pa.types.is_string(column.type):
        return column
    if pa.types.is_dictionary(column.type):
        return as_text(pc.cast(column, column.type.value_type))
    if pa.types.is_timestamp(column.type):
        local = pc.local_timestamp(column) if column.type.tz else column
        return pc.cast(pc.cast(local, pa.date32(), safe=False), pa.string())
    if pa.types.is_date(column.type):
        return pc.cast(pc.cast(column, pa.date32()), pa.string())
    if pa.types.is_floating(column.type):
        return _float_text(column)
    if pa.types.is_decimal(column.type):
        return _decimal_text(column)
    return pc.cast(column, pa.string())


def _float_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers as integers are written: many an identifier is a float for a null's sake."""
    if pa.types.is_float16(column.type):
        column = pc.cast(column, pa.float32())
    nothing = pa.scalar(None, column.type)
    column = pc.if_else(pc.is_nan(column), nothing, column)
    is_exact = pc.less_equal(pc.abs(column), pa.scalar(LARGEST_EXACT, column.type))
    is_whole = pc.and_(is_exact, pc.equal(column, pc.floor(column)))
    # Of zeros only a float's own text has the sign.
    is_whole = pc.and_(is_whole, pc.not_equal(column, pa.scalar(0.0, column.type)))
    whole = pc.cast(pc.if_else(is_whole, column, nothing), pa.int64())
    return pc.coalesce(pc.cast(whole, pa.string()), pc.cast(column, pa.string()))


def _decimal_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers as integers are written, whatever the scale."""
    if not pa.types.is_decimal256(column.type):
        column = pc.cast(column, pa.decimal128(38, column.type.scale))
    wide = pa.decimal256(76, max(column.type.scale, 0))
    column = pc.cast(column, wide)
    whole = pc.cast(column, pa.decimal256(76 - wide.scale, 0), safe=False)
    is_whole = pc.equal(pc.cast(whole, wide), column)
    whole = pc.if_else(is_whole, whole, pa.scalar(None, whole.type))
    return pc.coalesce(pc.cast(whole, pa.string()), pc.cast(column, pa.string()))


def check_columns(name: str, present: Sequence[str], selection: Selection) -> None:
    """Refuse an input whose columns are not those expected.

    Args:
        name: Of the input.
        present: Names of its columns.
        selection: Which are read.

    Raises:
        InputError: Carries a fault for each missing, repeated or unknown column.
    """
    known = {*selection.required, *selection.optional, *selection.ignored}
    faults = missing_columns(name, present, selection.required)
    repeated = _in_order(present, lambda column: list(present).count(column) > 1)
    faults += [
        Fault(name, "the column is there twice", "Rename one of the two", column=column)
        for column in repeated
        if column in known or not selection.others_allowed
    ]
    others = _in_order(present, lambda column: column not in known)
    if others and not selection.others_allowed:
        message = f"columns that the mapping does not mention: {', '.join(others)}"
        remedy = "Give each a role, `ignore` among them, or set `unmentioned: ignore`"
        faults.append(Fault(name, message, remedy))
    if faults:
        raise InputError(faults)


def _in_order(columns: Iterable[str], wanted: Callable[[str], bool]) -> list[str]:
    return [column for column in dict.fromkeys(columns) if wanted(column)]


def chosen_columns(present: Sequence[str], selection: Selection) -> list[str]:
    """Names of the columns that are there and read, required ones first."""
    wanted = [*selection.required, *selection.optional]
    return [column for column in dict.fromkeys(wanted) if column in present]


def damage(name: str, error: Exception) -> Fault:
    """The fault of an input that raised one of `UNREADABLE`."""
    text = " ".join(str(error).split())
    if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in text:
        return Fault(name, "the text is not UTF-8", "Save the file as UTF-8")
    message = f"the file is damaged or of another format ({text})"
    return Fault(name, message, "Export or download it again, or correct `format` in the mapping")
