"""CSV files as rows of text, whole or a block after the other."""

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from data.schema import REJECTS
from data.sources.mapped.description import TableMapping
from data.sources.mapped.text_rows import Selection, TextRows, check_columns, chosen_columns
from data.validation import Fault, InputError

BLOCK_BYTES = 1 << 24
"""Bytes of CSV parsed at a time; the longest possible row."""


def read_csv(path: Path, mapping: TableMapping, selection: Selection) -> TextRows:
    """Read the selected columns of a whole file, by several threads.

    Args:
        path: The file, also gzip.
        mapping: Its delimiter.
        selection: Which columns.

    Raises:
        InputError: Its columns are not those expected, or a quote that is not closed makes one row
            of several.
    """
    chosen = _chosen_of(path, mapping, selection)
    ragged: list[pyarrow.csv.InvalidRow] = []
    table = pyarrow.csv.read_csv(path, **_options(mapping, chosen, ragged, use_threads=True))
    if ragged:
        # Rows are numbered by a single thread only, and damaged files are the exception.
        ragged.clear()
        table = pyarrow.csv.read_csv(path, **_options(mapping, chosen, ragged, use_threads=False))
    _check_quotes(path, mapping, table.num_rows, ragged)
    every_number = np.arange(1, table.num_rows + len(ragged) + 1)
    numbers = np.delete(every_number, _numbers(ragged) - 1)
    return TextRows(path.name, table, frozenset(), numbers, _ragged_rejects(path.name, ragged))


def csv_blocks(path: Path, mapping: TableMapping, selection: Selection) -> Iterator[TextRows]:
    """Read the selected columns of a file, some rows at a time; else as `read_csv`.

    Yields:
        Consecutive rows; what is ragged comes with one of the blocks.
    """
    chosen = _chosen_of(path, mapping, selection)
    ragged: list[pyarrow.csv.InvalidRow] = []
    num_seen, num_read, num_told = 0, 0, 0
    # The parser may be ahead, so that the last block alone is known to be it.
    block: TextRows | None = None
    with pyarrow.csv.open_csv(path, **_options(mapping, chosen, ragged, False)) as reader:
        for batch in reader:
            if not batch.num_rows:
                continue
            if block is not None:
                yield block
            beyond = np.arange(num_seen + 1, num_seen + batch.num_rows + len(ragged) + 1)
            numbers = np.setdiff1d(beyond, _numbers(ragged))[: batch.num_rows]
            num_seen = int(numbers[-1])
            num_read += batch.num_rows
            rejects = _ragged_rejects(path.name, ragged[num_told:])
            num_told = len(ragged)
            table = pa.Table.from_batches([batch])
            block = TextRows(path.name, table, frozenset(), numbers, rejects)
    _check_quotes(path, mapping, num_read, ragged)
    rest = _ragged_rejects(path.name, ragged[num_told:])
    if block is None:
        block = TextRows(path.name, pa.table({}), frozenset(), np.arange(0), REJECTS.empty_table())
    yield replace(block, ragged=pa.concat_tables([block.ragged, rest]))


def _chosen_of(path: Path, mapping: TableMapping, selection: Selection) -> list[str]:
    header = _csv_header(path, mapping.delimiter)
    if len(header) == 1:
        _check_delimiter(path.name, header[0], mapping.delimiter)
    check_columns(path.name, header, selection)
    return chosen_columns(header, selection)


def _options(
    mapping: TableMapping,
    columns: list[str],
    ragged: list[pyarrow.csv.InvalidRow],
    use_threads: bool,
) -> dict[str, object]:
    def set_aside(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    return {
        "read_options": pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=use_threads),
        "parse_options": pyarrow.csv.ParseOptions(
            delimiter=mapping.delimiter,
            newlines_in_values=True,
            invalid_row_handler=set_aside,
        ),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=columns,
            strings_can_be_null=False,
        ),
    }


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


def _check_quotes(
    path: Path, mapping: TableMapping, num_rows: int, ragged: Sequence[pyarrow.csv.InvalidRow]
) -> None:
    """Refuse a file in which a quote that is not closed made one row of several.

    Such a row has as many fields as the others if the quote stands in its last one, so it is not
    ragged. Rows of several lines are rare, and only where there are some is each quote looked at.

    Raises:
        InputError: Names the line.
    """
    if _num_lines(path) <= 1 + num_rows + sum(1 + row.text.count("\n") for row in ragged):
        return
    last = 0
    try:
        with _open_text(path) as stream:
            reader = csv.reader(stream, delimiter=mapping.delimiter, strict=True)
            for _ in reader:
                last = reader.line_num
    except csv.Error as error:
        message = f"the row that begins in line {last + 1} has a quote that is not closed ({error})"
        remedy = "Close it, or write a quote within a field twice"
        raise InputError([Fault(path.name, message, remedy)]) from error


def _num_lines(path: Path) -> int:
    """Number of lines, the last one included if it is not ended."""
    number, end = 0, b"\n"
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            number += block.count(b"\n")
            end = block[-1:]
    return number + (end != b"\n")


def _numbers(ragged: Sequence[pyarrow.csv.InvalidRow]) -> np.ndarray:
    """1-based number of each row; the parser counts the header as row 1."""
    return np.array([row.number - 1 for row in ragged], dtype=np.int64)


def _ragged_rejects(name: str, ragged: Sequence[pyarrow.csv.InvalidRow]) -> pa.Table:
    columns = [
        [name] * len(ragged),
        pa.array(_numbers(ragged)),
        [_raggedness(row) for row in ragged],
        [json.dumps(row.text) for row in ragged],
    ]
    return pa.table(columns, schema=REJECTS)


def _raggedness(row: pyarrow.csv.InvalidRow) -> str:
    reason = f"the row has {row.actual_columns} fields, the header {row.expected_columns}"
    breaks = row.text.count("\n")
    return f"{reason}; a quote that is not closed spans {breaks + 1} lines" if breaks else reason
