"""Input rows as text: CSV and Parquet files and frames, brought to one form before parsing.

Everything becomes text first, so that a value of the wrong type costs its row and not the file,
and so that all three inputs are parsed by the same code.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from data.schema import REJECTS
from data.sources.mapped.description import FileFormat, TableMapping
from data.validation import Fault, InputError, missing_columns

BLOCK_BYTES = 1 << 24
"""Bytes of CSV parsed at a time; the longest possible row."""

PLAIN_TYPES = (pa.int64(), pa.float64(), pa.date32(), pa.string())
"""Types of which every value has a text."""

UNREADABLE = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error)
"""What damaged files raise."""


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
        return _as_text(self.given[column])

    def all_text(self) -> pa.Table:
        """All of them."""
        names = self.given.column_names
        return pa.table([self.text(name) for name in names], names=names)


def read_text_rows(path: Path, mapping: TableMapping, selection: Selection) -> TextRows:
    """Read the selected columns of a file.

    Args:
        path: CSV (also gzip) or Parquet.
        mapping: Format and delimiter.
        selection: Which columns.

    Raises:
        InputError: The file is missing, empty, damaged, not UTF-8, or its columns are not those
            expected; carries all faults.
    """
    name = path.name
    if not path.is_file():
        raise InputError(
            [Fault(str(path), "there is no such file", "Check the path in the mapping")]
        )
    if path.stat().st_size == 0:
        raise InputError([Fault(name, "the file is empty", "Export it again")])
    read = _read_parquet if mapping.format is FileFormat.PARQUET else _read_csv
    try:
        rows = read(path, mapping, selection)
    except UNREADABLE as error:
        raise InputError([_damage(name, error)]) from error
    if not len(rows.numbers):
        message, remedy = "the file has no rows", "Export it again"
        if rows.ragged.num_rows:
            message = f"none of its {rows.ragged.num_rows} rows has as many fields as the header"
            remedy = "Check `delimiter` in the mapping and the quotes in the file"
        raise InputError([Fault(name, message, remedy)])
    return rows


def frame_text_rows(frame: pd.DataFrame, name: str, selection: Selection) -> TextRows:
    """Bring the selected columns of a frame to the form of a file's rows.

    Args:
        frame: Raw rows as a file would hold them; a NaN is null.
        name: What to call the frame in faults and rejects.
        selection: Which columns.

    Raises:
        InputError: Columns are missing, occur twice, or hold what is no plain value.
    """
    present = [str(column) for column in frame.columns]
    _check_columns(name, present, selection)
    chosen = _chosen(present, selection)
    columns = [_frame_column(frame.iloc[:, present.index(column)]) for column in chosen]
    return _typed_rows(name, pa.table(columns, names=chosen))


def table_text_rows(table: pa.Table, name: str, selection: Selection) -> TextRows:
    """Bring the selected columns of a table to the form of a file's rows.

    Args:
        table: Raw rows as a Parquet file would hold them.
        name: What to call the table in faults and rejects.
        selection: Which columns.

    Raises:
        InputError: Columns are missing, occur twice, or hold what is no plain value.
    """
    present = table.column_names
    _check_columns(name, present, selection)
    return _typed_rows(name, table.select(_chosen(present, selection)))


def _read_csv(path: Path, mapping: TableMapping, selection: Selection) -> TextRows:
    name = path.name
    header = _csv_header(path, mapping.delimiter)
    if len(header) == 1:
        _check_delimiter(name, header[0], mapping.delimiter)
    _check_columns(name, header, selection)
    chosen = _chosen(header, selection)
    ragged: list[pyarrow.csv.InvalidRow] = []
    table = _parse_csv(path, mapping, chosen, ragged, use_threads=True)
    if ragged:
        # Rows are numbered by a single thread only, and damaged files are the exception.
        ragged.clear()
        table = _parse_csv(path, mapping, chosen, ragged, use_threads=False)
    # The parser counts the header as row 1.
    ragged_numbers = np.array([row.number - 1 for row in ragged], dtype=np.int64)
    every_number = np.arange(1, table.num_rows + len(ragged) + 1)
    return TextRows(
        file=name,
        given=table,
        days=frozenset(),
        numbers=np.delete(every_number, ragged_numbers - 1),
        ragged=_ragged_rejects(name, ragged, ragged_numbers),
    )


def _parse_csv(
    path: Path,
    mapping: TableMapping,
    columns: list[str],
    ragged: list[pyarrow.csv.InvalidRow],
    *,
    use_threads: bool,
) -> pa.Table:
    def set_aside(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=use_threads),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=mapping.delimiter,
            newlines_in_values=True,
            invalid_row_handler=set_aside,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=columns,
            strings_can_be_null=False,
        ),
    )


def _csv_header(path: Path, delimiter: str) -> list[str]:
    with _open_text(path) as stream:
        for header in csv.reader(stream, delimiter=delimiter):
            if header:
                return header
    raise InputError([Fault(path.name, "the file is empty", "Export it again")])


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _check_delimiter(name: str, header: str, delimiter: str) -> None:
    others = [other for other in (";", "\t", ",", "|") if other != delimiter and other in header]
    if others:
        message = f"only one column was found with the delimiter {delimiter!r}"
        remedy = f"Set `delimiter: {json.dumps(others[0])}` in the mapping"
        raise InputError([Fault(name, message, remedy)])


def _ragged_rejects(
    name: str, ragged: list[pyarrow.csv.InvalidRow], numbers: np.ndarray
) -> pa.Table:
    reasons = [_raggedness(row) for row in ragged]
    content = [json.dumps(row.text) for row in ragged]
    return pa.table([[name] * len(ragged), pa.array(numbers), reasons, content], schema=REJECTS)


def _raggedness(row: pyarrow.csv.InvalidRow) -> str:
    reason = f"the row has {row.actual_columns} fields, the header {row.expected_columns}"
    breaks = row.text.count("\n")
    return f"{reason}; a quote that is not closed spans {breaks + 1} lines" if breaks else reason


def _read_parquet(path: Path, _: TableMapping, selection: Selection) -> TextRows:
    name = path.name
    with pq.ParquetFile(path) as file:
        present = file.schema_arrow.names
        _check_columns(name, present, selection)
        table = file.read(columns=_chosen(present, selection))
    return _typed_rows(name, table)


def _typed_rows(name: str, table: pa.Table) -> TextRows:
    faults = []
    for column_name, column in zip(table.column_names, table.columns, strict=True):
        if column.type in PLAIN_TYPES:
            continue
        try:
            _as_text(column)
        except pa.ArrowException:
            message = f"values of type {column.type} cannot be read"
            faults.append(Fault(name, message, "Store plain values", column=column_name))
    if faults:
        raise InputError(faults)
    return TextRows(
        file=name,
        given=table,
        days=frozenset(field.name for field in table.schema if _is_day(field.type)),
        numbers=np.arange(1, table.num_rows + 1),
        ragged=REJECTS.empty_table(),
    )


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        return _as_text(pc.cast(column, column.type.value_type))
    if pa.types.is_timestamp(column.type):
        local = pc.local_timestamp(column) if column.type.tz else column
        return pc.cast(pc.cast(local, pa.date32(), safe=False), pa.string())
    if pa.types.is_date(column.type):
        return pc.cast(pc.cast(column, pa.date32()), pa.string())
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return pc.cast(column, pa.string())


def _is_day(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        return _is_day(type_.value_type)
    return bool(pa.types.is_timestamp(type_) or pa.types.is_date(type_))


def _frame_column(values: pd.Series) -> pa.ChunkedArray:
    try:
        column = pa.array(values, from_pandas=True)
    except pa.ArrowException:
        # Numbers and texts in one column.
        column = pa.array(values.astype("string"), from_pandas=True)
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _check_columns(name: str, present: Sequence[str], selection: Selection) -> None:
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


def _chosen(present: Sequence[str], selection: Selection) -> list[str]:
    wanted = [*selection.required, *selection.optional]
    return [column for column in dict.fromkeys(wanted) if column in present]


def _damage(name: str, error: Exception) -> Fault:
    text = " ".join(str(error).split())
    if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in text:
        return Fault(name, "the text is not UTF-8", "Save the file as UTF-8")
    message = f"the file is damaged or of another format ({text})"
    return Fault(name, message, "Export or download it again, or correct `format` in the mapping")
