"""From raw rows to typed rows: every faulty row is set aside with its reason."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.schema import Role, role_of
from data.sources.release.layout import LABEL, ReleaseColumn, TableLayout
from data.sources.release.parsing import parse
from data.sources.release.reading import RawTable
from data.validation import Fault, InputError, RowSieve

TYPE_NAMES = {pa.int64(): "a whole number", pa.float64(): "a number", pa.string(): "a text"}

Rows: TypeAlias = tuple[pa.Table, dict[str, int]]
"""A canonical table made of checked rows, and how often what was found in them."""


@dataclass(frozen=True)
class CheckedTable:
    """The valid rows of one file.

    Attributes:
        table: Canonical names, types as read; one-hot columns follow under their raw names.
        numbers: 1-based number in the file of each row, int64 `(num_rows,)`.
        rejects: All other rows, schema `data.schema.REJECTS`.
    """

    table: pa.Table
    numbers: np.ndarray
    rejects: pa.Table


def check(raw: RawTable, layout: TableLayout) -> CheckedTable:
    """Type the columns and set aside rows that cannot be used.

    A row is set aside if a value cannot be read, a key is missing or, in a node table, was there
    before, or a label is not 0 or 1. One-hot columns are left to `data.sources.release.one_hot`.

    Args:
        raw: The rows of one file, with or without labels.
        layout: Which table it is.

    Raises:
        InputError: A column has no readable value at all, or no row can be used.
    """
    sieve = RowSieve(raw.file, raw.table.num_rows, lambda: raw.table)
    columns: dict[str, pa.ChunkedArray] = {}
    faults = []
    for each in _present(raw, layout):
        values, failed = parse(raw.table[each.raw], each.read_as)
        columns[each.field.name] = values
        wanted = TYPE_NAMES[each.read_as]
        if failed.any() and values.null_count == len(values):
            message, remedy = f"no value is {wanted}", "Give the column as the release has it"
            faults.append(Fault(raw.file, message, remedy, column=each.raw))
        sieve.reject(failed, f"column '{each.raw}': not {wanted}")
        if role_of(each.field) is Role.ID:
            sieve.reject(mask_of(pc.is_null(values)), f"column '{each.raw}': no value")
        if each.raw == LABEL:
            possible = mask_of(pc.is_in(values, value_set=pa.array([0, 1], pa.int64())))
            sieve.reject(~possible, f"column '{LABEL}': neither 0 nor 1")
    if faults:
        raise InputError(faults)
    if layout.one_row_per_key:
        first = layout.columns[0]
        sieve.reject(
            _repeated(columns[first.field.name], sieve.kept()),
            f"column '{first.raw}': the key was there before",
        )
    columns |= {name: parse(raw.table[name], pa.int64())[0] for name in layout.one_hot_names()}
    rejects = _renumbered(sieve.rejects(), raw)
    kept = sieve.kept()
    if not kept.any():
        message = f"no row can be used, the first because of {rejects['reason'][0]}"
        raise InputError([Fault(raw.file, message, "Give the table as the release has it")])
    table = pa.table(columns)
    return CheckedTable(
        table=table if kept.all() else table.filter(pa.array(kept)),
        numbers=raw.numbers[kept],
        rejects=rejects,
    )


def mask_of(values: pa.ChunkedArray) -> np.ndarray:
    """Truth values as a numpy mask, shape `(num_rows,)`."""
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=bool)


def _present(raw: RawTable, layout: TableLayout) -> list[ReleaseColumn]:
    return [each for each in layout.columns if each.raw in raw.table.column_names]


def _repeated(keys: pa.ChunkedArray, kept: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(kept)
    key_of_row = keys.filter(pa.array(kept)).to_numpy()
    repeated = np.zeros(len(kept), dtype=bool)
    repeated[rows] = pd.Index(key_of_row).duplicated()
    return repeated


def _renumbered(rejects: pa.Table, raw: RawTable) -> pa.Table:
    """Rejects with their row numbers in the file, ragged rows among them, in file order."""
    numbers = raw.numbers[rejects["row"].to_numpy() - 1]
    position = rejects.column_names.index("row")
    renumbered = rejects.set_column(position, rejects.schema.field("row"), pa.array(numbers))
    return pa.concat_tables([renumbered, raw.ragged]).sort_by("row")
