"""From text to typed values, one column at a time; what cannot be read is marked, never fatal.

Whether a value can be read never depends on the other values of its column.
"""

import re
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.sources.mapped.database import cursor
from data.sources.mapped.description import Case, ColumnMapping, ColumnType, Limits
from data.validation import unparsed

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
INTEGER = r"^-?\d{1,19}$"
LARGEST_INTEGER = "9223372036854775807"
DAYS_PER_YEAR = 365.2425

TEXT_OF_VALUE = {
    ColumnType.NUMBER: re.compile(r"[+-]?(inf|nan|\.?\d)", re.IGNORECASE),
    ColumnType.INTEGER: re.compile(r"[+-]?\d"),
    ColumnType.DATE: re.compile(r"[+-]?\d"),
}
"""How texts begin that could be a value of a type."""

LAST_DAY = date.max.toordinal() - date(1970, 1, 1).toordinal()
FIRST_DAY = date.min.toordinal() - date(1970, 1, 1).toordinal()

FEW_TEXTS = 100
"""Distinct texts of a date column of a small request."""


@dataclass(frozen=True)
class ParsedColumn:
    """The values of a column.

    Attributes:
        values: Of the column's type; null where missing, unreadable, a placeholder or impossible.
        unreadable: Values that were given but are not of the type; bool `(num_rows,)`.
        placeholder: Values that stand for null by the column's own `nulls`; bool `(num_rows,)`.
        impossible: Values outside the limits; bool `(num_rows,)`.
    """

    values: pa.ChunkedArray
    unreadable: np.ndarray
    placeholder: np.ndarray
    impossible: np.ndarray


def parse_column(
    text: pa.ChunkedArray,
    column: ColumnMapping,
    nulls: tuple[str, ...],
    decimal: str,
    iso_days: bool,
) -> ParsedColumn:
    """Read a column of text as its type says.

    Args:
        text: Values as text, shape `(num_rows,)`.
        column: Type, nulls and limits.
        nulls: Texts that mean null in every column of the table; the empty text always does.
        decimal: Character before the decimals of a number.
        iso_days: Whether dates are in ISO 8601 whatever the mapping's format, because the input
            itself types them as dates.
    """
    trimmed = pc.utf8_trim_whitespace(text)
    given = _without(trimmed, ("", *nulls))
    wanted = _without(given, column.nulls)
    values = _read(wanted, column, decimal, iso_days)
    possible = _within(values, column.limits)
    return ParsedColumn(
        values=possible,
        unreadable=unparsed(wanted, values),
        placeholder=unparsed(given, wanted),
        impossible=unparsed(values, possible),
    )


def typed_column(
    values: pa.ChunkedArray, column: ColumnMapping, nulls: tuple[str, ...]
) -> ParsedColumn | None:
    """A column that the input itself types as wanted, without the way through text.

    Args:
        values: As the input has them, shape `(num_rows,)`.
        column: Type, nulls and limits.
        nulls: Texts that mean null in every column of the table.

    Returns:
        What `parse_column` gives for the same values as text; None where only it can tell: the
        type is another, a text that means null could be one of the values, or a value is no finite
        number, the least integer, or a date that Python does not know.
    """
    if column.type not in TEXT_OF_VALUE or values.type != column.type.arrow:
        return None
    if any(TEXT_OF_VALUE[column.type].match(text) for text in (*nulls, *column.nulls)):
        return None
    if not _is_plain(values):
        return None
    possible = _within(values, column.limits)
    nothing = np.zeros(len(values), dtype=bool)
    return ParsedColumn(possible, nothing, nothing, unparsed(values, possible))


def written_days(days: pa.ChunkedArray, date_format: str) -> pa.ChunkedArray:
    """Dates as text of a format: the way back of reading them.

    Args:
        days: Dates, date32 `(num_rows,)`.
        date_format: As in `strptime`.
    """
    with cursor() as connection:
        connection.register("given", pa.table({"day": days}))
        query = "SELECT strftime(day, $format) AS text FROM given"
        texts = connection.sql(query, params={"format": date_format}).to_arrow_table()
    return texts["text"]


def within_years_before(
    days: pa.ChunkedArray, orders: pa.ChunkedArray, years: Limits
) -> pa.ChunkedArray:
    """Make null the dates that do not lie so many years before the order.

    Args:
        days: Dates, date32.
        orders: Order date of each, date32.
        years: Possible years from the date to the order; below 0 is after the order.

    Returns:
        The dates, null where impossible.
    """
    if days.null_count == len(days):
        return days
    passed = (_days_or_nat(orders) - _days_or_nat(days)) / np.timedelta64(1, "D") / DAYS_PER_YEAR
    impossible = np.zeros(len(days), dtype=bool)
    # An unknown date or order is NaN: neither below nor above.
    if years.minimum is not None:
        impossible |= passed < years.minimum
    if years.maximum is not None:
        impossible |= passed > years.maximum
    return _keep(days, pa.chunked_array([~impossible])) if impossible.any() else days


def _days_or_nat(days: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(days.to_numpy(zero_copy_only=False), dtype="datetime64[D]")


def _is_plain(values: pa.ChunkedArray) -> bool:
    """Whether text can say all values: finite numbers, years of four digits, no least integer."""
    if pa.types.is_floating(values.type):
        return pc.all(pc.is_finite(values)).as_py() is not False
    is_day = pa.types.is_date(values.type)
    ends = pc.min_max(values.cast(pa.int32()) if is_day else values)
    least, most = (FIRST_DAY, LAST_DAY) if is_day else (-int(LARGEST_INTEGER), int(LARGEST_INTEGER))
    first, last = ends["min"].as_py(), ends["max"].as_py()
    return first is None or (first >= least and last <= most)


def _read(
    text: pa.ChunkedArray, column: ColumnMapping, decimal: str, iso_days: bool
) -> pa.ChunkedArray:
    match column.type:
        case ColumnType.NUMBER:
            return _numbers(text, decimal)
        case ColumnType.INTEGER:
            return _integers(text)
        case ColumnType.DATE:
            return _iso_days(text) if iso_days else _days(text, column.date_format)
        case ColumnType.FLAG:
            texts = pa.array(list(column.values), pa.string())
            flags = pa.array(list(column.values.values()), pa.int8())
            position = pc.index_in(pc.utf8_lower(text), value_set=texts, skip_nulls=True)
            return pc.take(flags, position)
        case ColumnType.CATEGORY:
            return pc.utf8_lower(text) if column.case is Case.LOWER else text


def _numbers(text: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    if decimal != ".":
        # A point would be a thousands separator: refuse it rather than guess.
        text = _keep(text, pc.invert(pc.match_substring(text, ".")))
        text = pc.replace_substring(text, decimal, ".")
    written = _keep(text, pc.match_substring_regex(text, NUMBER))
    numbers = pc.cast(pc.utf8_ltrim(written, "+"), pa.float64())
    return _keep(numbers, pc.is_finite(numbers))


def _integers(text: pa.ChunkedArray) -> pa.ChunkedArray:
    # Tools that know no integer null write 5 as 5.0.
    if pc.any(pc.match_substring(text, ".")).as_py():
        text = pc.replace_substring_regex(text, r"\.0+$", "")
    written = _keep(text, pc.match_substring_regex(text, INTEGER))
    digits = pc.utf8_ltrim(written, "-")
    fits = pc.or_(
        pc.less(pc.utf8_length(digits), len(LARGEST_INTEGER)),
        pc.less_equal(digits, LARGEST_INTEGER),
    )
    return pc.cast(_keep(written, fits), pa.int64())


def _iso_days(text: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return pc.cast(text, pa.date32())
    except pa.ArrowInvalid:  # of some day, such as one of year 10000
        return _days(text, "%Y-%m-%d")


def _days(text: pa.ChunkedArray, date_format: str) -> pa.ChunkedArray:
    encoded = text.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    days = _distinct_days(encoded.dictionary, date_format)
    return pa.chunked_array([days.take(encoded.indices)], pa.date32())


def _distinct_days(texts: pa.Array, date_format: str) -> pa.Array:
    """Few texts are handed over as a list: making a table of them takes ten times longer."""
    if len(texts) <= FEW_TEXTS:
        # As numbers: Python knows no year before 1 or after 9999.
        query = "SELECT CAST(try_strptime(unnest($texts), $format) AS DATE) - DATE '1970-01-01'"
        with cursor() as connection:
            params = {"texts": texts.to_pylist(), "format": date_format}
            rows = connection.execute(query, params).fetchall()
        return pa.array([day for (day,) in rows], pa.int32()).cast(pa.date32())
    with cursor() as connection:
        connection.register("given", pa.table({"text": texts}))
        query = "SELECT CAST(try_strptime(text, $format) AS DATE) AS day FROM given"
        days = connection.sql(query, params={"format": date_format}).to_arrow_table()
    return days["day"].combine_chunks()


def _within(values: pa.ChunkedArray, limits: Limits) -> pa.ChunkedArray:
    if limits.minimum is not None:
        values = _keep(values, pc.greater_equal(values, pa.scalar(limits.minimum)))
    if limits.maximum is not None:
        values = _keep(values, pc.less_equal(values, pa.scalar(limits.maximum)))
    return values


def _without(text: pa.ChunkedArray, nulls: tuple[str, ...]) -> pa.ChunkedArray:
    if not nulls:
        return text
    meant = pc.is_in(text, value_set=pa.array(nulls, pa.string()))
    return _keep(text, pc.invert(meant)) if pc.any(meant).as_py() else text


def _keep(values: pa.ChunkedArray, condition: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values where the condition holds; it is null only where the value itself is."""
    if pc.all(condition).as_py() is not False:
        return values
    return pc.if_else(condition, values, pa.scalar(None, values.type))
