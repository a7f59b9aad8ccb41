"""Typed columns are read as the same values are read from text."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

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
from data.sources.mapping import parse_mapping
from data.sources.tables import Tables

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


@pytest.mark.parametrize("type_", [pa.float64(), pa.float32(), pa.decimal128(38, 9)])
def test_whole_numbers_are_written_as_integers_are(type_):
    """An identifier is a float as soon as another row has none, and a decimal in a warehouse."""
    large = 2**33 + 2**20
    numbers = [0, 5, -7, None, large, -large]
    expected = [None if number is None else str(number) for number in numbers]
    given_numbers = [None if n is None else Decimal(n) for n in numbers]
    if not pa.types.is_decimal(type_):
        given_numbers = [None if n is None else float(n) for n in numbers]
    values = pa.chunked_array([pa.array(given_numbers, type_)])
    assert text_of(values).to_pylist() == expected
    parsed = parse_column(text_of(values), column_of(ColumnType.INTEGER), (), ".", iso_days=False)
    assert parsed.values.to_pylist() == numbers
    assert not parsed.unreadable.any()


@pytest.mark.parametrize("type_", [pa.float64(), pa.decimal128(20, 2), pa.decimal256(60, 9)])
def test_other_numbers_keep_their_decimals(type_):
    numbers = [Decimal("19.99"), Decimal("-0.5"), Decimal("12345678901.25")]
    values = numbers if pa.types.is_decimal(type_) else [float(number) for number in numbers]
    text = text_of(pa.chunked_array([pa.array(values, type_)]))
    assert [Decimal(each) for each in text.to_pylist()] == numbers


@pytest.mark.parametrize("type_", [pa.float64(), pa.float32(), pa.decimal128(12, 2)])
@pytest.mark.parametrize("nulls", [(), ("-1",)])
def test_a_decimal_comma_is_of_text_alone(type_, nulls):
    """What an input types as a number has none, whatever the mapping says of text."""
    prices = [Decimal("19.25"), Decimal("20")]
    values = prices if pa.types.is_decimal(type_) else [float(price) for price in prices]
    mapping = {
        "events": {
            "file": "lines.csv",
            "customer": "who",
            "variant": "sku",
            "returned": "back",
            "decimal": ",",
            "nulls": list(nulls),
            "columns": {"paid": {"role": "order", "type": "number"}},
        }
    }
    source = Tables(parse_mapping(mapping, "mine.yaml"), Path("nowhere"))
    rows = {"who": ["a", "b"], "sku": ["x", "y"], "paid": pa.array(values, type_)}
    tables = source.tables_from_rows(pa.table(rows))
    assert tables.rejects.num_rows == 0
    assert tables.events["paid"].to_pylist() == [19.25, 20.0]
