"""Typed columns are read as the same values are read from text."""

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.sources.mapped.columns import split_column
from data.sources.mapped.description import ColumnType, Limits
from data.sources.mapped.parsing import parse_column, typed_column
from data.sources.mapped.text import table_text_rows
from data.sources.mapped.text_rows import Selection

ANY = Limits()
VALUES = {
    ColumnType.INTEGER: st.integers(1 - 2**63, 2**63 - 1) | st.integers(-3, 20),
    ColumnType.NUMBER: st.floats(allow_nan=False, allow_infinity=False) | st.just(-0.0),
    ColumnType.DATE: st.dates() | st.dates(date(1799, 12, 30), date(1800, 1, 2)),
}
LIMITS = {
    ColumnType.INTEGER: Limits(-1, 10),
    ColumnType.NUMBER: Limits(-1.5, 1e12),
    ColumnType.DATE: Limits(date(1800, 1, 1), date(2100, 12, 31)),
}


def column_of(type_, nulls=(), limits=ANY):
    changes = {"type": type_, "nulls": nulls, "limits": limits, "date_format": "%d.%m.%Y"}
    return replace(split_column("column"), **changes)


def text_of(values):
    table = pa.table({"column": values})
    return table_text_rows(table, "table", Selection(["column"])).text("column")


def both(values, column, nulls=("?",)):
    typed = typed_column(values, column, nulls)
    return typed, parse_column(text_of(values), column, nulls, ".", iso_days=True)


def chunked(values, type_):
    return pa.chunked_array([pa.array(values, type_.arrow)])


@pytest.mark.parametrize("type_", VALUES)
@pytest.mark.parametrize("is_limited", [True, False])
@given(data=st.data())
def test_typed_columns_are_read_as_their_text(type_, is_limited, data):
    values = data.draw(st.lists(st.none() | VALUES[type_], max_size=8))
    column = column_of(type_, limits=LIMITS[type_] if is_limited else ANY)
    typed, parsed = both(chunked(values, type_), column)
    assert typed is not None
    assert typed.values.equals(parsed.values)
    if type_ is ColumnType.NUMBER:
        signs = [np.signbit(each.values.drop_null().to_numpy()) for each in (typed, parsed)]
        assert np.array_equal(*signs)
    for name in ("unreadable", "placeholder", "impossible"):
        assert np.array_equal(getattr(typed, name), getattr(parsed, name))


@pytest.mark.parametrize(
    ("values", "type_", "nulls"),
    [
        ([1, -1], ColumnType.INTEGER, ("-1",)),
        ([1, -(2**63)], ColumnType.INTEGER, ()),
        ([0.0, 1.0], ColumnType.NUMBER, ("0",)),
        ([1.0, np.inf], ColumnType.NUMBER, ()),
        ([1.0, np.nan], ColumnType.NUMBER, ()),
        ([date(1990, 12, 31)], ColumnType.DATE, ("1990-12-31",)),
        (["a"], ColumnType.CATEGORY, ()),
    ],
)
def test_what_only_text_can_tell_is_left_to_it(values, type_, nulls):
    for column, of_table in ((column_of(type_, nulls), ()), (column_of(type_), nulls)):
        assert typed_column(chunked(values, type_), column, of_table) is None


def test_dates_that_python_does_not_know_are_left_to_text():
    days = pa.chunked_array([pa.array([10**7, 0], pa.int32()).cast(pa.date32())])
    typed, parsed = both(days, column_of(ColumnType.DATE))
    assert typed is None
    assert parsed.unreadable.tolist() == [True, False]


def test_columns_of_another_type_are_left_to_text():
    whole = pa.chunked_array([pa.array([1, 2], pa.int64())])
    assert typed_column(whole, column_of(ColumnType.NUMBER), ()) is None
