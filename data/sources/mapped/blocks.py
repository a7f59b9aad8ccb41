"""Events to score, parsed a block of rows at a time: their text never exists for all rows at once.

What concerns rows of several blocks, keys that repeat and columns that nothing can be read of, is
judged over all of them.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.sources.mapped.canonical import flat_events
from data.sources.mapped.description import TableMapping
from data.sources.mapped.keys import codes, first_rows
from data.sources.mapped.rows import ParsedRows, check_legible, repeated_key
from data.sources.mapped.text import text_blocks
from data.sources.mapped.text_rows import Selection

WHAT_REPEATS = "row key"


@dataclass(frozen=True)
class ScoredRows:
    """The rows of a file to score.

    Attributes:
        flat: What `flat_events` gives for the rows without a fault; texts as dictionaries, so that
            each distinct one exists once.
        rejects: Rows set aside, schema `data.schema.REJECTS`.
        counts: What was found and handled.
    """

    flat: pa.Table
    rejects: pa.Table
    counts: dict[str, int]


def read_scored_rows(path: Path, mapping: TableMapping, selection: Selection) -> ScoredRows:
    """Read, parse and check the rows of a file.

    Args:
        path: The file.
        mapping: Of the events.
        selection: Which columns are read.

    Raises:
        InputError: The file cannot be used; carries all faults.
    """
    flats, numbers, rejects = [], [], []
    counts: Counter[str] = Counter()
    legible: set[str] = set()
    illegible: set[str] = set()
    for rows in _parsed(path, mapping, selection):
        flat = flat_events(rows, None, scoring=True)
        flats.append(with_dictionaries(flat))
        numbers.append(rows.keep(pa.table({"number": rows.row_numbers()}))["number"].to_numpy())
        rejects.append(rows.rejects())
        counts.update(rows.counts())
        legible |= rows.legible
        illegible |= rows.illegible
    check_legible(path.name, mapping.columns, illegible - legible)
    flat = pa.concat_tables(flats).unify_dictionaries()
    repeated = _repeated(flat, mapping)
    if repeated.any():
        wanted = np.concatenate(numbers)[repeated]
        for rows in _parsed(path, mapping, selection, wanted):
            counts.subtract(rows.counts())
            rows.reject(np.ones(len(rows), dtype=bool), repeated_key(mapping.row_id, WHAT_REPEATS))
            rejects.append(rows.rejects())
        flat = flat.filter(pa.array(~repeated))
    # Ragged rows may come with the block before theirs, repeated ones after all.
    return ScoredRows(flat, pa.concat_tables(rejects).sort_by("row"), +counts)


def with_dictionaries(table: pa.Table) -> pa.Table:
    """The table with each distinct text once."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table[place].dictionary_encode()
            table = table.set_column(place, field.with_type(column.type), column)
    return table


def with_texts(table: pa.Table) -> pa.Table:
    """The table whose texts are dictionaries, with its texts."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            texts = field.type.value_type
            table = table.set_column(place, field.with_type(texts), pc.cast(table[place], texts))
    return table


def _parsed(
    path: Path, mapping: TableMapping, selection: Selection, numbers: np.ndarray | None = None
) -> Iterator[ParsedRows]:
    """The rows block by block; if numbers are given, those rows alone."""
    for text in text_blocks(path, mapping, selection):
        part = text if numbers is None else text.only(numbers)
        if len(part.numbers):
            yield ParsedRows(part, mapping, mapping.columns)


def _repeated(flat: pa.Table, mapping: TableMapping) -> np.ndarray:
    """Rows whose own key an earlier block has, bool `(num_rows,)`."""
    repeated = np.zeros(flat.num_rows, dtype=bool)
    if mapping.row_id is not None:
        repeated[:] = True
        repeated[first_rows(codes(flat["row_id"]), None)] = False
    return repeated
