"""What the two halves of a release say of the same customer or variant.

A release that comes in halves, as ASOS GraphReturns does, has a row of a key in each of them. A
column of outcomes with the same value in both was computed over both: what models learn from holds
outcomes of the test.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from data.schema import Role, role_of
from returns.audit.findings import Check, Finding, Severity
from returns.audit.subject import Subject
from returns.columns import level_codes

SAME_VALUES = 0.99
"""Share of shared keys from which on a column counts as the same in both halves."""

FEWEST_KEYS = 20
"""Fewest keys with rows in both halves for a table to be judged."""


def find_values_of_both_halves(subject: Subject) -> Iterator[Finding]:
    """Columns of outcomes, and means, that were computed once over both halves."""
    for key, table in (
        ("customer", subject.dataset.customers),
        ("variant", subject.dataset.variants),
    ):
        if "period" not in table.column_names:
            continue
        first, second = _rows_in_both_halves(table, key)
        measured = {
            field.name: _share_equal(table[field.name], first, second)
            for field in table.schema
            if field.name in subject.table_of
        }
        share = {name: equal for name, equal in measured.items() if equal is not None}
        outcomes = {name for name in share if role_of(table.schema.field(name)) is Role.AGGREGATE}
        means = {name for name in share if pa.types.is_floating(table.schema.field(name).type)}
        same = {name for name, equal in share.items() if equal >= SAME_VALUES}
        for names, severity, explanation, remedy in (
            (
                outcomes & same,
                Severity.LEAK,
                "columns of outcomes have the same values in both halves: what is learned from "
                "holds outcomes of the test",
                "Use --protocol strict",
            ),
            (
                outcomes - same,
                Severity.NOTE,
                "columns of outcomes were computed anew in each half",
                "Compute them from orders before each order's own day",
            ),
            (
                (means & same) - outcomes,
                Severity.NOTE,
                "same values in both halves: means over both hold orders of the test, though not "
                "their outcomes",
                "Take the value that stood in the catalogue when the order was placed",
            ),
        ):
            if names:
                columns = tuple(name for name in share if name in names)
                equal = [share[name] for name in columns]
                figures = {
                    "keys in both halves": len(first),
                    "least share equal": min(equal),
                    "largest share equal": max(equal),
                }
                yield Finding(Check.HALVES, columns, severity, figures, explanation, remedy)


def _rows_in_both_halves(table: pa.Table, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the keys that have one in each of the first two periods, key by key."""
    period = level_codes(table["period"])
    code = table[key].to_numpy()
    rows = [np.flatnonzero(period == number) for number in (0, 1)]
    _, first, second = np.intersect1d(code[rows[0]], code[rows[1]], return_indices=True)
    return rows[0][first], rows[1][second]


def _share_equal(column: pa.ChunkedArray, first: np.ndarray, second: np.ndarray) -> float | None:
    """Share of pairs of rows with equal values, where either is not the column's usual value.

    A share that is nearly always 0 would seem equal in both halves whatever it was computed from.

    Returns:
        The share; None where fewer than `FEWEST_KEYS` pairs say anything.
    """
    code = level_codes(column)
    usual = np.bincount(code + 1).argmax() - 1
    left, right = code[first], code[second]
    says_anything = (left != usual) | (right != usual)
    if says_anything.sum() < FEWEST_KEYS:
        return None
    return float((left == right)[says_anything].mean())
