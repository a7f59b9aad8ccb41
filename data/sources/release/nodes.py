"""Customer and variant rows of one period of the release."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.sources.release.checking import CheckedTable, Rows
from data.sources.release.layout import (
    CUSTOMER_NODES,
    PRODUCT_NODES,
    REASONS,
    TOP_RETURN_REASON,
    Period,
    TableLayout,
    reason_name,
)
from data.sources.release.one_hot import compare_one_hot

UNKNOWN_BIRTH_YEAR = 1900
"""What the release writes where the year of birth is not known."""

LATEST_BIRTH_YEAR = 2021 - 10
"""The orders are of 2021, and no child of under ten places them."""

CUSTOMERS = CUSTOMER_NODES.schema()
VARIANTS = PRODUCT_NODES.schema().append(TOP_RETURN_REASON)


def customer_rows(checked: CheckedTable, period: Period) -> Rows:
    """Customers of one period, schema `CUSTOMERS`.

    Unknown and impossible years of birth, and flags beyond 0 and 1, become null and are counted;
    so are rows whose one-hot columns disagree with their level.
    """
    table, counts = checked.table, _one_hot_counts(checked, CUSTOMER_NODES)
    year = table["year_of_birth"]
    counts["unknown_birth_years"] = _number(pc.equal(year, UNKNOWN_BIRTH_YEAR))
    is_possible = pc.and_(
        pc.greater(year, UNKNOWN_BIRTH_YEAR), pc.less_equal(year, LATEST_BIRTH_YEAR)
    )
    impossible = _number(pc.invert(is_possible))
    counts["impossible_birth_years"] = impossible - counts["unknown_birth_years"]
    columns = {name: table[name] for name in table.column_names}
    columns["year_of_birth"] = _only(is_possible, year)
    for name in ("is_male", "premier"):
        is_flag = pc.is_in(table[name], value_set=pa.array([0, 1], pa.int64()))
        columns[name] = _only(is_flag, table[name])
        given = table.num_rows - table[name].null_count
        counts[f"impossible_{name}"] = given - _number(is_flag)
    return _finish(columns, CUSTOMERS, period), _of_period(counts, period)


def variant_rows(checked: CheckedTable, period: Period) -> Rows:
    """Variants of one period, schema `VARIANTS`.

    Rows whose one-hot columns disagree with their level are counted.
    """
    table = checked.table
    columns = {name: table[name] for name in table.column_names}
    columns[TOP_RETURN_REASON.name] = _top_reason(table)
    counts = _one_hot_counts(checked, PRODUCT_NODES)
    return _finish(columns, VARIANTS, period), _of_period(counts, period)


def _top_reason(table: pa.Table) -> pa.ChunkedArray:
    names = [reason_name(reason) for reason in REASONS]
    shares = np.stack(
        [table[f"variant_return_code_{name.lower()}"].fill_null(0).to_numpy() for name in names]
    )
    top = pa.array(shares.argmax(axis=0), mask=shares.max(axis=0) <= 0)
    return pa.chunked_array([pa.array(names).take(top)])


def _one_hot_counts(checked: CheckedTable, layout: TableLayout) -> dict[str, int]:
    counts = {}
    for one_hot in layout.one_hots:
        found = compare_one_hot(checked.table[one_hot.of], checked.table.select(one_hot.raw))
        counts[f"{one_hot.of}_one_hot_mismatches"] = found.mismatches
        counts[f"{one_hot.of}_shifted_letters"] = found.shifted_letters
    return counts


def _finish(columns: dict[str, pa.ChunkedArray], schema: pa.Schema, period: Period) -> pa.Table:
    number = len(columns[schema.names[0]])
    columns["period"] = pa.chunked_array([pa.repeat(period, number)])
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def _only(condition: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(condition, values, pa.scalar(None, values.type))


def _number(condition: pa.ChunkedArray) -> int:
    return pc.sum(condition).as_py() or 0


def _of_period(counts: dict[str, int], period: Period) -> dict[str, int]:
    return {f"{name}_{period}": number for name, number in counts.items()}
