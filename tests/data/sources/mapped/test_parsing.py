from dataclasses import replace
from datetime import date, timedelta
from math import isfinite

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.sources.mapped.columns import split_column
from data.sources.mapped.description import Case, ColumnMapping, ColumnType, Limits
from data.sources.mapped.parsing import (
    ParsedColumn,
    parse_column,
    within_years_before,
    written_days,
)

BASE = replace(split_column("value"), case=Case.KEEP, date_format="%Y-%m-%d")


def _column(type_: ColumnType, **changes: object) -> ColumnMapping:
    return replace(BASE, type=type_, **changes)  # type: ignore[arg-type]


def _parse(
    texts: list[str | None],
    column: ColumnMapping,
    decimal: str = ".",
    nulls: tuple[str, ...] = (),
    iso_days: bool = False,
) -> ParsedColumn:
    text = pa.chunked_array([pa.array(texts, pa.string())])
    return parse_column(text, column, nulls, decimal, iso_days)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1.0), (" 1.50 ", 1.5), ("-.5", -0.5), ("+2.", 2.0), ("1e3", 1000.0), ("1E-2", 0.01),
        ("nan", None), ("inf", None), ("1e999", None), ("0x10", None), ("1,5", None), ("1 0", None),
        ("1_0", None), ("٣", None), (".", None), ("EUR 5", None),
    ],
)  # fmt: skip
def test_numbers(text: str, number: float | None) -> None:
    parsed = _parse([text], _column(ColumnType.NUMBER))
    assert parsed.values.to_pylist() == [number]
    assert parsed.unreadable.tolist() == [number is None]


@pytest.mark.parametrize(("text", "number"), [("1,5", 1.5), ("-3", -3.0), ("1.234,5", None)])
def test_decimal_comma_leaves_no_room_for_thousands_points(text: str, number: float | None) -> None:
    assert _parse([text], _column(ColumnType.NUMBER), ",").values.to_pylist() == [number]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_survives_the_way_through_text(number: float) -> None:
    assert _parse([repr(number)], _column(ColumnType.NUMBER)).values.to_pylist() == [number]


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%Y-%m-%d %H:%M:%S", "%d %b %Y", "%j/%d%m%Y%%"])
def test_days_are_written_as_they_are_read(form: str) -> None:
    days = [date(1800, 1, 1), date(2013, 2, 28), None, date(2100, 12, 31)]
    written = written_days(pa.chunked_array([days], pa.date32()), form)
    assert written.to_pylist() == [None if day is None else day.strftime(form) for day in days]
    column = _column(ColumnType.DATE, date_format=form)
    assert _parse(written.to_pylist(), column).values.to_pylist() == days


ODD_DAYS = [
    *("2013-01-05", "2013-1-5", " 2013-01-05", "2013-02-30", "0000-00-00", "0000-01-01"),
    *("0001-01-01", "9999-12-31", "10000-01-01", "infinity", "-infinity", "epoch", None, ""),
]


@pytest.mark.parametrize("texts", [ODD_DAYS, ODD_DAYS[:1], [None, None], []])
def test_days_of_few_and_of_many_texts_are_read_alike(texts, monkeypatch) -> None:
    column = _column(ColumnType.DATE)
    few = _parse(texts, column)
    monkeypatch.setattr("data.sources.mapped.parsing.FEW_TEXTS", 0)
    many = _parse(texts, column)
    assert few.values.equals(many.values)
    assert few.unreadable.tolist() == many.unreadable.tolist()


@settings(deadline=None)
@given(st.lists(st.text("0123456789-+.eE ", max_size=6), min_size=1))
def test_whether_a_number_is_read_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    column = _column(ColumnType.NUMBER)
    together = _parse(list(texts), column)
    alone = [_parse([text], column) for text in texts]
    assert together.values.to_pylist() == [each.values[0].as_py() for each in alone]
    assert together.unreadable.tolist() == [bool(each.unreadable[0]) for each in alone]
    for text, number in zip(texts, together.values.to_pylist(), strict=True):
        if number is not None:
            assert number == float(text)
            assert isfinite(number)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("007", 7), ("-5", -5), ("5.0", 5), ("5.00", 5), ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None), ("5.5", None), ("5,0", None), ("0x1F", None), ("", None),
    ],
)  # fmt: skip
def test_integers(text: str, number: int | None) -> None:
    assert _parse([text, "1"], _column(ColumnType.INTEGER)).values.to_pylist() == [number, 1]


@settings(deadline=None)
@given(st.dates(date(1800, 1, 1), date(2100, 12, 31)))
def test_dates_of_any_format(day: date) -> None:
    for date_format in ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y%m%d", "%d-%b-%Y"):
        column = _column(ColumnType.DATE, date_format=date_format)
        assert _parse([day.strftime(date_format)], column).values.to_pylist() == [day]


@pytest.mark.parametrize(
    "text", ["2012-02-30", "2011-02-29", "2012-13-01", "01.02.2012", "2012-01-01x", "20120101"]
)
def test_impossible_calendar_days_are_unreadable(text: str) -> None:
    parsed = _parse([text, "2012-02-29"], _column(ColumnType.DATE))
    assert parsed.values.to_pylist() == [None, date(2012, 2, 29)]
    assert parsed.unreadable.tolist() == [True, False]


def test_time_of_day_is_dropped() -> None:
    column = _column(ColumnType.DATE, date_format="%d.%m.%Y %H:%M")
    assert _parse(["31.12.2012 23:59"], column).values.to_pylist() == [date(2012, 12, 31)]


def test_typed_days_are_read_whatever_the_format_of_the_mapping() -> None:
    column = _column(ColumnType.DATE, date_format="%d.%m.%Y")
    assert _parse(["2012-12-31"], column, iso_days=True).values.to_pylist() == [date(2012, 12, 31)]


def test_placeholders_and_impossible_values_become_null_and_are_told_apart() -> None:
    limits = Limits(date(1900, 1, 1), date(2000, 12, 31))
    column = _column(ColumnType.DATE, nulls=("1990-12-31",), limits=limits)
    texts = ["1990-12-31", "?", "", None, "1655-04-19", "2000-12-31", "2001-01-01", "x"]
    parsed = _parse(list(texts), column, nulls=("?",))
    assert parsed.values.to_pylist() == [None] * 5 + [date(2000, 12, 31), None, None]
    assert parsed.placeholder.nonzero()[0].tolist() == [0]
    assert parsed.impossible.nonzero()[0].tolist() == [4, 6]
    assert parsed.unreadable.nonzero()[0].tolist() == [7]


def test_limits_of_numbers_are_included() -> None:
    column = _column(ColumnType.INTEGER, limits=Limits(0.0, 10.0))
    assert _parse(["-1", "0", "10", "11"], column).values.to_pylist() == [None, 0, 10, None]


def test_flags_take_the_mapping_s_words_in_any_case() -> None:
    column = _column(ColumnType.FLAG, values={"yes": 1, "no": 0})
    parsed = _parse(["YES", "no", "1", None], column)
    assert parsed.values.to_pylist() == [1, 0, None, None]
    assert parsed.unreadable.tolist() == [False, False, True, False]


def test_categories_are_trimmed_and_lowered_on_demand() -> None:
    texts: list[str | None] = [" XL ", "Öl", None]
    assert _parse(texts, _column(ColumnType.CATEGORY)).values.to_pylist() == ["XL", "Öl", None]
    lowered = _parse(texts, _column(ColumnType.CATEGORY, case=Case.LOWER))
    assert lowered.values.to_pylist() == ["xl", "öl", None]


@given(st.dates(date(1900, 1, 1), date(2020, 1, 1)), st.integers(-40_000, 40_000))
def test_years_before_the_order(day: date, elapsed: int) -> None:
    order = day + timedelta(days=elapsed)
    days, orders = (pa.chunked_array([pa.array([each])]) for each in (day, order))
    kept = within_years_before(days, orders, Limits(10.0, 100.0)).to_pylist()
    assert kept == [day if 10 <= elapsed / 365.2425 <= 100 else None]


def test_a_date_without_an_order_date_is_kept() -> None:
    days = pa.chunked_array([pa.array([date(1980, 1, 1)])])
    orders = pa.chunked_array([pa.array([None], pa.date32())])
    assert within_years_before(days, orders, Limits(10.0, 100.0)).to_pylist() == [date(1980, 1, 1)]
