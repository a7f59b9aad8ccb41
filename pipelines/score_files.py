"""Files of scores, written portion by portion, whole in the end or not there at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from data.files import atomic_file

SUFFIXES = (".parquet", ".csv")


class _Writer(Protocol):
    """What Arrow's writers of Parquet and CSV have in common."""

    def write_table(self, table: pa.Table) -> None:
        """Append rows."""

    def close(self) -> None:
        """End the file."""


class ScoreFile:
    """A file that grows by tables of the same columns.

    Attributes:
        num_rows: Rows written so far.
    """

    def __init__(self, path: Path, is_csv: bool) -> None:
        """Describe the file; it is made with the first table, which says its columns.

        Args:
            path: Where to write.
            is_csv: Whether it is CSV; else it is Parquet.
        """
        self.num_rows = 0
        self._path, self._is_csv = path, is_csv
        self._writer: _Writer | None = None

    def write(self, table: pa.Table) -> None:
        """Append a table."""
        plain = with_json_lists(table) if self._is_csv else table
        if self._writer is None:
            opened = pa_csv.CSVWriter if self._is_csv else pq.ParquetWriter
            self._writer = opened(self._path, plain.schema)
        if plain.num_rows:
            self._writer.write_table(plain)
        self.num_rows += plain.num_rows

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def score_file(path: Path) -> Iterator[ScoreFile]:
    """A file to write tables to, at its path once the block ends well and not before.

    Args:
        path: Ends in one of `SUFFIXES`.
    """
    with atomic_file(path) as partial:
        file = ScoreFile(partial, path.suffix == ".csv")
        try:
            yield file
        finally:
            file.close()


def with_json_lists(table: pa.Table) -> pa.Table:
    """The table with lists of structures as JSON text, which is all that CSV has for them.

    Args:
        table: The fields of its structures are texts and numbers.
    """
    for place, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            texts = [_json_lists(chunk) for chunk in table[place].chunks]
            table = table.set_column(place, field.name, pa.chunked_array(texts, pa.string()))
    return table


def _json_lists(lists: pa.ListArray) -> pa.Array:
    structures = lists.flatten()
    members = [
        pc.binary_join_element_wise(f'"{field.name}": ', _json_values(structures.field(place)), "")
        for place, field in enumerate(structures.type)
    ]
    objects = pc.binary_join_element_wise("{", pc.binary_join_element_wise(*members, ", "), "}", "")
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, objects), ", ")
    return pc.binary_join_element_wise("[", joined, "]", "")


def _json_values(values: pa.Array) -> pa.Array:
    """Each value as JSON; of texts, of which few are distinct, each distinct one is put once."""
    if pa.types.is_string(values.type):
        encoded = values.dictionary_encode()
        words = [json.dumps(word, ensure_ascii=False) for word in encoded.dictionary.to_pylist()]
        values = pa.array(words, pa.string()).take(encoded.indices)
    return pc.fill_null(values.cast(pa.string()), "null")
