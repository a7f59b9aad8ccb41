"""One column of the release: from whatever its file holds to a typed column, value by value."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

WHOLE_NUMBER = r"^[+-]?[0-9]{1,30}(\.0*)?$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NOT_A_NUMBER = pa.array(["nan", "NaN", "NAN"])
"""How exports write a missing number."""

LARGEST_EXACT_FLOAT = 2.0**53
"""Whole numbers beyond it lose digits as floats, so a key read from one cannot be trusted."""

INT64 = np.iinfo(np.int64)


def parse(column: pa.ChunkedArray, wanted: pa.DataType) -> tuple[pa.ChunkedArray, np.ndarray]:
    """Read values as another type; an empty text and a NaN are null.

    Args:
        column: Numbers, truth values, texts or levels.
        wanted: int64, float64 or string.

    Returns:
        The values, null where they could not be read, and a boolean mask of those, shape
        `(num_rows,)`.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string_view(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.string())
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_null(column.type):
        values = column.cast(wanted)
    elif pa.types.is_string(wanted):
        values = _texts(column)
    elif pa.types.is_integer(wanted):
        values = _integers(column)
    else:
        values = _floats(column)
    failed = pc.and_(pc.is_null(values), _is_given(column))
    return values, np.asarray(failed.to_numpy(zero_copy_only=False), dtype=bool)


def _is_given(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        return pc.invert(pc.is_null(column, nan_is_null=True))
    if pa.types.is_string(column.type):
        text = pc.utf8_trim_whitespace(column)
        missing = pc.or_(pc.equal(text, ""), pc.is_in(text, value_set=NOT_A_NUMBER))
        return pc.invert(pc.fill_null(missing, True))
    return pc.is_valid(column)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_string(column.type):
        return _where(_is_given(column), column)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return _where(_is_given(column), column.cast(pa.string()))
    return _nothing(column, pa.string())


def _integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_signed_integer(column.type):
        return column.cast(pa.int64())
    if pa.types.is_unsigned_integer(column.type):
        return _fitting(column.cast(pa.decimal128(38, 0)))
    if pa.types.is_floating(column.type):
        number = column.cast(pa.float64())
        is_whole = pc.equal(number, pc.round(number))
        is_exact = pc.less_equal(pc.abs(number), LARGEST_EXACT_FLOAT)
        return _where(pc.and_(is_whole, is_exact), number).cast(pa.int64())
    if pa.types.is_string(column.type):
        text = pc.utf8_trim_whitespace(column)
        whole = _where(pc.match_substring_regex(text, WHOLE_NUMBER), text)
        digits = pc.replace_substring_regex(whole, r"^\+|\.0*$", "")
        return _fitting(digits.cast(pa.decimal128(38, 0)))
    return _nothing(column, pa.int64())


def _fitting(wide: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decimals as int64, null beyond its range; a plain cast fails on one number too large."""
    fits = pc.and_(pc.less_equal(wide, INT64.max), pc.greater_equal(wide, INT64.min))
    return _where(fits, wide).cast(pa.int64())


def _floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_string(column.type):
        text = pc.utf8_trim_whitespace(column)
        column = _where(pc.match_substring_regex(text, NUMBER), text)
        column = pc.replace_substring_regex(column, r"^\+", "").cast(pa.float64())
    if pa.types.is_integer(column.type):
        return column.cast(pa.float64(), safe=False)
    if pa.types.is_floating(column.type):
        number = column.cast(pa.float64())
        return _where(pc.is_finite(number), number)
    return _nothing(column, pa.float64())


def _where(condition: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(condition, values, pa.scalar(None, values.type))


def _nothing(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(len(column), wanted)])
