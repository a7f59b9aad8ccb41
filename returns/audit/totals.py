"""Totals of a node table that hold the very outcomes to be predicted.

A retailer's totals cover more orders than the events that were released, so no sum of labels gives
them exactly. But a total of returns that holds the outcomes of a node's own events is never smaller
than their number of returns; a total over other orders is, though less often than chance has it.
What multiplies to such a total, or is a share of it, was computed with it.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa

from data.schema import is_categorical
from returns.audit.findings import Check, Finding, Severity
from returns.audit.subject import Subject, numbers
from returns.missing_rows import ROW_COLUMN

FEWEST_EXPECTED = 100.0
"""Fewest rows that would be smaller by chance, for a total to be judged."""

MOST_SMALLER = 0.1
"""Most rows that are smaller, as a share of those expected by chance: releases have slips. Totals
of an earlier period, which are honest, reach .3 to .5 on the synthetic twin."""

FEWEST_FRACTIONS = 50
"""Fewest rows with a value strictly between 0 and 1, for a rate or a share to be judged."""

MOSTLY = 0.99
"""Share of rows for which an arithmetic relation must hold."""

EXACT = 1e-6
"""How far the relation may be off, as a share of the total: files round."""

MOST_BY_CHANCE = 0.9
"""Most rows for which the relation may hold with totals of other rows."""

REMEDY = "Keep it from models: role `aggregate` under --protocol strict"


def find_totals_that_hold_the_labels(subject: Subject) -> Iterator[Finding]:
    """Columns of customers and variants that hold the outcomes of the node's own events."""
    for table_name, row_column in ROW_COLUMN.items():
        table = getattr(subject.dataset, table_name)
        columns = {
            name: numbers(table[name])
            for name, of_table in subject.table_of.items()
            if of_table == table_name and _is_number(table.schema, name)
        }
        number, returned = _events_of_rows(subject, row_column, table.num_rows)
        for name, values in columns.items():
            if not _is_count(values):
                continue
            smaller, expected = _rows_smaller(values, returned, number)
            if expected >= FEWEST_EXPECTED and smaller <= MOST_SMALLER * expected:
                figures = {"rows smaller": smaller, "expected by chance": round(expected)}
                explanation = "never smaller than the node's own returned events: it holds them"
                yield _finding((name,), figures, explanation)
                others = {key: column for key, column in columns.items() if key != name}
                yield from _find_factors(name, values, others)
                yield from _find_shares(name, values, others)
                if np.nanmin(values) >= 1:
                    yield _selection(table_name, name, int(np.nanmin(values)))


def _selection(table_name: str, total_name: str, least: int) -> Finding:
    return Finding(
        Check.SELECTION,
        (table_name,),
        Severity.NOTE,
        {f"least {total_name}": least},
        "rows are there only of those who returned something, so return rates are higher than "
        "among all",
        "Nothing mends it but data of all customers; claim nothing about those who return nothing",
    )


def _find_factors(
    total_name: str, total: np.ndarray, columns: Mapping[str, np.ndarray]
) -> Iterator[Finding]:
    """Pairs of columns, such as orders and their return rate, whose product is the total."""
    for (left_name, left), (right_name, right) in combinations(columns.items(), 2):
        if _fractions(left).any() or _fractions(right).any():
            agree, by_chance = _shares_that_agree(_is_product(left * right), total)
            if _is_arithmetic(agree, by_chance):
                figures = {"rows that agree": agree, "by chance": by_chance}
                explanation = f"their product is {total_name}, which holds the node's own outcomes"
                yield _finding((left_name, right_name), figures, explanation)


def _find_shares(
    total_name: str, total: np.ndarray, columns: Mapping[str, np.ndarray]
) -> Iterator[Finding]:
    """Columns that give whole numbers when multiplied by the total."""
    found = {}
    for name, values in columns.items():
        chosen = _fractions(values)
        if chosen.sum() >= FEWEST_FRACTIONS and _is_within_0_and_1(values):
            agree, by_chance = _shares_that_agree(_is_share(values[chosen]), total[chosen])
            if _is_arithmetic(agree, by_chance):
                found[name] = agree, by_chance
    if found:
        figures = {
            "rows that agree": min(agree for agree, _ in found.values()),
            "by chance": max(by_chance for _, by_chance in found.values()),
        }
        explanation = f"they are shares of {total_name}, which holds the node's own outcomes"
        yield _finding(tuple(found), figures, explanation)


def _finding(names: tuple[str, ...], figures: Mapping[str, float], explanation: str) -> Finding:
    return Finding(Check.COMPUTED, names, Severity.LEAK, figures, explanation, REMEDY)


Relation = Callable[[np.ndarray], np.ndarray]
"""How far each row is from a relation to the total of that row."""


def _is_product(product: np.ndarray) -> Relation:
    return lambda total: product - total


def _is_share(share: np.ndarray) -> Relation:
    return lambda total: share * total - np.round(share * total)


def _shares_that_agree(relation: Relation, total: np.ndarray) -> tuple[float, float]:
    """Share of rows for which a relation holds, truly and by chance.

    Args:
        relation: Relation to the total.
        total: Total of each row, `(num_rows,)`, NaN unknown.

    Returns:
        The share with each row's own total, and with the totals dealt anew; 0 without rows.
    """
    shares = []
    for each in (total, np.random.default_rng(0).permutation(total)):
        off = relation(each)
        known = ~np.isnan(off)
        holds = np.abs(off[known]) <= EXACT * each[known]
        shares.append(float(holds.mean()) if known.any() else 0.0)
    return shares[0], shares[1]


def _is_arithmetic(agree: float, by_chance: float) -> bool:
    return agree >= MOSTLY and by_chance <= MOST_BY_CHANCE


def _fractions(values: np.ndarray) -> np.ndarray:
    return np.asarray((values > 0) & (values < 1))


def _is_within_0_and_1(values: np.ndarray) -> bool:
    return bool(np.nanmin(values) >= 0 and np.nanmax(values) <= 1)


def _is_count(values: np.ndarray) -> bool:
    """Whether a column holds whole numbers from 0 up, and is more than a flag."""
    known = values[~np.isnan(values)]
    if not len(known) or known.min() < 0 or (known != np.round(known)).any():
        return False
    return len(np.unique(known)) > 2


def _is_number(schema: pa.Schema, name: str) -> bool:
    if name not in schema.names:
        return False
    field = schema.field(name)
    return not is_categorical(field) and not pa.types.is_date(field.type)


def _events_of_rows(
    subject: Subject, row_column: str, num_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labelled events of each node row, and returned ones among them; int64 `(num_rows,)`."""
    label = subject.arrays.returned
    row = subject.dataset.events[row_column].fill_null(-1).to_numpy()
    known = (row >= 0) & (label >= 0)
    number = np.bincount(row[known], minlength=num_rows)
    returned = np.bincount(row[known & (label == 1)], minlength=num_rows)
    return number, returned


def _rows_smaller(
    values: np.ndarray, returned: np.ndarray, number: np.ndarray
) -> tuple[int, float]:
    """Rows whose value is smaller than their returned events, truly and by chance.

    By chance: the values of rows with equally many events are dealt among them anew, so that an
    honest total's rise with activity is no evidence.

    Args:
        values: One per row, `(num_rows,)`, NaN unknown.
        returned: Returned events of each row, int64 `(num_rows,)`.
        number: Labelled events of each row, int64 `(num_rows,)`.
    """
    used = (number > 0) & ~np.isnan(values)
    values, returned, number = values[used], returned[used], number[used]
    expected = 0.0
    for alike in np.split(np.argsort(number, kind="stable"), _group_ends(number)):
        dealt = np.sort(values[alike])
        expected += float(np.searchsorted(dealt, returned[alike]).sum() / max(len(dealt), 1))
    return int((values < returned).sum()), expected


def _group_ends(number: np.ndarray) -> np.ndarray:
    return np.cumsum(np.unique(number, return_counts=True)[1])[:-1]
