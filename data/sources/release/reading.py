"""A table of the release as its file holds it: pickle, CSV or frame, brought to one form.

A CSV file of clean numbers is read by many threads straight into typed columns. If that fails
anywhere, the file is read again as text and row by row, so that a fault costs its row and not the
file.
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from data.pickles import read_dataframe_pickle
from data.schema import REJECTS
from data.sources.release.layout import TableLayout
from data.validation import Fault, InputError, missing_columns

BLOCK_BYTES = 1 << 23
"""Bytes of CSV that one thread parses at a time; no row may be longer."""


@dataclass(frozen=True)
class RawTable:
    """The rows of one file.

    Attributes:
        file: Name of the file, as rejects and faults give it.
        table: The layout's columns under their raw names, of whatever types the file holds.
        numbers: 1-based number in the file of each row, int64 `(num_rows,)`.
        ragged: Rows with too few or too many fields, schema `data.schema.REJECTS`.
    """

    file: str
    table: pa.Table
    numbers: np.ndarray
    ragged: pa.Table


def read_raw_table(path: Path, layout: TableLayout, *, labelled: bool = True) -> RawTable:
    """Read the columns of a layout from a file; others, such as an exported index, are passed over.

    Args:
        path: A `.p` or `.csv` file.
        layout: Which table the file holds.
        labelled: Whether the column of labels is read; it may be absent if not.

    Raises:
        InputError: The file is missing, truncated, empty or damaged, or columns are missing or
            there twice; carries all its faults.
    """
    if not path.is_file():
        raise InputError([Fault(str(path), "there is no such file", "Check the path")])
    if path.suffix == ".p":
        return raw_table_of_frame(read_dataframe_pickle(path), path.name, layout, labelled=labelled)
    if path.suffix != ".csv":
        message = f"files ending in '{path.suffix}' are not read"
        raise InputError([Fault(str(path), message, "Give a .csv file or a pickle, ending in .p")])
    return _read_csv(path, layout.raw_types(labelled=labelled))


def raw_table_of_frame(
    frame: pd.DataFrame, name: str, layout: TableLayout, *, labelled: bool = True
) -> RawTable:
    """Bring a frame to the form of a file.

    Args:
        frame: Rows as the file would hold them; its index is passed over.
        name: What to call it in faults and rejects.
        layout: Which table it holds.
        labelled: Whether the column of labels is read; it may be absent if not.

    Raises:
        InputError: It is empty, or columns are missing or there twice.
    """
    names = unique_names([str(label) for label in frame.columns])
    wanted = list(layout.raw_types(labelled=labelled))
    _check_columns(name, names, wanted)
    columns = [_chunked(frame.iloc[:, names.index(column)]) for column in wanted]
    return raw_table_of_rows(pa.table(columns, names=wanted), name, layout, labelled=labelled)


def raw_table_of_rows(
    rows: pa.Table, name: str, layout: TableLayout, *, labelled: bool = True
) -> RawTable:
    """Bring rows in memory to the form of a file; else as `raw_table_of_frame`."""
    wanted = list(layout.raw_types(labelled=labelled))
    _check_columns(name, rows.column_names, wanted)
    _check_rows(name, rows.num_rows, 0)
    return RawTable(
        file=name,
        table=rows.select(wanted),
        numbers=np.arange(1, rows.num_rows + 1),
        ragged=REJECTS.empty_table(),
    )


def unique_names(names: Sequence[str]) -> list[str]:
    """Column names with `.1`, `.2` after the second, third of one name, as pandas writes them.

    The suffix `__dup2`, by which some copies of the release tell its two columns D apart, becomes
    `.1` too.
    """
    seen: Counter[str] = Counter()
    unique = []
    for raw in names:
        name = raw.strip()
        if name.endswith("__dup2"):
            name = name.removesuffix("__dup2") + ".1"
        unique.append(f"{name}.{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return unique


def _read_csv(path: Path, types: Mapping[str, pa.DataType]) -> RawTable:
    try:
        names = unique_names(_header(path))
        _check_columns(path.name, names, list(types))
        try:
            ragged: list[pyarrow.csv.InvalidRow] = []
            table = _parse(path, names, types)
        except pa.ArrowInvalid:
            table, ragged = _parse_row_by_row(path, names, list(types))
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise InputError([_damage(path, error)]) from error
    number = table.num_rows + len(ragged)
    # The parser counts the header as row 1.
    ragged_numbers = np.array([row.number - 1 for row in ragged], dtype=np.int64)
    if number in ragged_numbers and _ends_within_a_line(path):
        message = "the file ends in the middle of a row"
        raise InputError([Fault(path.name, message, "Copy or export it again", row=number)])
    _check_rows(path.name, table.num_rows, len(ragged))
    return RawTable(
        file=path.name,
        table=table,
        numbers=np.delete(np.arange(1, number + 1), ragged_numbers - 1),
        ragged=_ragged_rejects(path.name, ragged, ragged_numbers),
    )


def _parse(path: Path, names: list[str], types: Mapping[str, pa.DataType]) -> pa.Table:
    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(
            column_names=names, skip_rows=1, block_size=BLOCK_BYTES
        ),
        convert_options=_conversion(types),
    )


def _parse_row_by_row(
    path: Path, names: list[str], wanted: list[str]
) -> tuple[pa.Table, list[pyarrow.csv.InvalidRow]]:
    ragged: list[pyarrow.csv.InvalidRow] = []

    def set_aside(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    table = pyarrow.csv.read_csv(
        path,
        # Rows are numbered by a single thread only.
        read_options=pyarrow.csv.ReadOptions(
            column_names=names, skip_rows=1, block_size=BLOCK_BYTES, use_threads=False
        ),
        parse_options=pyarrow.csv.ParseOptions(invalid_row_handler=set_aside),
        convert_options=_conversion(dict.fromkeys(wanted, pa.string())),
    )
    return table, ragged


def _conversion(types: Mapping[str, pa.DataType]) -> pyarrow.csv.ConvertOptions:
    return pyarrow.csv.ConvertOptions(
        column_types=dict(types),
        include_columns=list(types),
        null_values=[""],
        strings_can_be_null=True,
    )


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return next(csv.reader(stream), [])


def _ends_within_a_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) not in b"\r\n"


def _ragged_rejects(
    file: str, ragged: Sequence[pyarrow.csv.InvalidRow], numbers: np.ndarray
) -> pa.Table:
    reasons = [
        f"the row has {row.actual_columns} fields, not {row.expected_columns}" for row in ragged
    ]
    content = [json.dumps(row.text) for row in ragged]
    return pa.table([[file] * len(ragged), pa.array(numbers), reasons, content], schema=REJECTS)


def _check_columns(file: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    faults = missing_columns(file, names, wanted)
    known = set(wanted)
    twice = [
        name
        for name in wanted
        if names.count(name) > 1 or (f"{name}.1" in names and f"{name}.1" not in known)
    ]
    remedy = "Keep one of the two"
    faults += [Fault(file, "the column is there twice", remedy, column=name) for name in twice]
    if faults:
        raise InputError(faults)


def _check_rows(file: str, number: int, number_ragged: int) -> None:
    if number == 0:
        message = "the table has no rows"
        if number_ragged:
            message = f"none of its {number_ragged} rows has as many fields as the header"
        raise InputError([Fault(file, message, "Copy or export it again")])


def _chunked(values: pd.Series) -> pa.ChunkedArray:
    try:
        column = pa.array(values, from_pandas=True)
    except pa.ArrowException:
        # Numbers and texts in one column.
        column = pa.array(values.astype("string"), from_pandas=True)
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _damage(path: Path, error: Exception) -> Fault:
    detail = " ".join(str(error).split())
    if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in detail:
        return Fault(path.name, "the text is not UTF-8", "Save the file as UTF-8")
    return Fault(path.name, f"this is no CSV file, or damaged ({detail})", "Copy it again")
