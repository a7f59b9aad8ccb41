"""Input rows as text: CSV and Parquet files and frames, brought to one form before parsing.

Everything becomes text first, so that a value of the wrong type costs its row and not the file,
and so that all three inputs are parsed by the same code.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.schema import REJECTS
from data.sources.mapped.csv_text import csv_blocks, read_csv
from data.sources.mapped.description import FileFormat, TableMapping
from data.sources.mapped.text_rows import (
    UNREADABLE,
    Selection,
    TextRows,
    as_text,
    check_columns,
    chosen_columns,
    damage,
)
from data.validation import Fault, InputError

PLAIN_TYPES = (pa.int64(), pa.float64(), pa.date32(), pa.string())
"""Types of which every value has a text."""

BLOCK_ROWS = 1 << 17
"""Rows of Parquet read at a time."""


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
    _check_there(path)
    read = _read_parquet if mapping.format is FileFormat.PARQUET else read_csv
    try:
        rows = read(path, mapping, selection)
    except UNREADABLE as error:
        raise InputError([damage(path.name, error)]) from error
    _check_any(path, len(rows.numbers), rows.ragged.num_rows)
    return rows


def text_blocks(path: Path, mapping: TableMapping, selection: Selection) -> Iterator[TextRows]:
    """Read the selected columns of a file, some rows at a time; else as `read_text_rows`.

    Yields:
        Consecutive rows, at least one block of them, none of which is empty.
    """
    _check_there(path)
    read = _parquet_blocks if mapping.format is FileFormat.PARQUET else csv_blocks
    num_rows, num_ragged = 0, 0
    try:
        for rows in read(path, mapping, selection):
            num_rows, num_ragged = num_rows + len(rows.numbers), num_ragged + rows.ragged.num_rows
            if len(rows.numbers):
                yield rows
    except UNREADABLE as error:
        raise InputError([damage(path.name, error)]) from error
    _check_any(path, num_rows, num_ragged)


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
    check_columns(name, present, selection)
    chosen = chosen_columns(present, selection)
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
    check_columns(name, present, selection)
    return _typed_rows(name, table.select(chosen_columns(present, selection)))


def _read_parquet(path: Path, _: TableMapping, selection: Selection) -> TextRows:
    name = path.name
    with pq.ParquetFile(path) as file:
        present = file.schema_arrow.names
        check_columns(name, present, selection)
        table = file.read(columns=chosen_columns(present, selection))
    return _typed_rows(name, table)


def _parquet_blocks(path: Path, _: TableMapping, selection: Selection) -> Iterator[TextRows]:
    name, num_seen = path.name, 0
    with pq.ParquetFile(path) as file:
        present = file.schema_arrow.names
        check_columns(name, present, selection)
        for batch in file.iter_batches(BLOCK_ROWS, columns=chosen_columns(present, selection)):
            rows = _typed_rows(name, pa.Table.from_batches([batch]))
            yield replace(rows, numbers=rows.numbers + num_seen)
            num_seen += batch.num_rows


def _typed_rows(name: str, table: pa.Table) -> TextRows:
    faults = []
    for column_name, column in zip(table.column_names, table.columns, strict=True):
        if column.type in PLAIN_TYPES:
            continue
        try:
            as_text(column)
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


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise InputError(
            [Fault(str(path), "there is no such file", "Check the path in the mapping")]
        )
    if path.stat().st_size == 0:
        raise InputError([Fault(path.name, "the file is empty", "Export it again")])


def _check_any(path: Path, num_rows: int, num_ragged: int) -> None:
    if num_rows:
        return
    message, remedy = "the file has no rows", "Export it again"
    if num_ragged:
        message = f"none of its {num_ragged} rows has as many fields as the header"
        remedy = "Check `delimiter` in the mapping and the quotes in the file"
    raise InputError([Fault(path.name, message, remedy)])
