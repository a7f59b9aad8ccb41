from decimal import Decimal, InvalidOperation

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.sources.release.parsing import LARGEST_EXACT_FLOAT, parse

INT64 = st.integers(-(2**63), 2**63 - 1)


def column(values: list[object], type_: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, type_)])


def parsed(values: pa.ChunkedArray, wanted: pa.DataType) -> tuple[list[object], list[int]]:
    """Values, and positions of those that could not be read."""
    result, failed = parse(values, wanted)
    assert result.type == wanted
    assert len(result) == len(failed) == len(values)
    return result.to_pylist(), np.flatnonzero(failed).tolist()


@settings(deadline=None)
@given(st.lists(INT64), st.sampled_from(["{}", " {} ", "{}.0", "{}.", "{}.000"]))
def test_whole_numbers_keep_every_digit(numbers: list[int], form: str) -> None:
    texts = column([form.format(number) for number in numbers], pa.string())
    assert parsed(texts, pa.int64()) == (numbers, [])


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_come_back_from_their_text(numbers: list[float]) -> None:
    texts = column([repr(number) for number in numbers], pa.string())
    values, failed = parsed(texts, pa.float64())
    assert failed == []
    assert [repr(value) for value in values] == [repr(number) for number in numbers]


@settings(deadline=None)
@given(st.lists(st.text(alphabet="0123456789+-.eE xn", max_size=8)))
def test_any_text_is_read_right_or_told(texts: list[str]) -> None:
    values, failed = parsed(column(texts, pa.string()), pa.float64())
    for position, (text, value) in enumerate(zip(texts, values, strict=True)):
        if text.strip() == "":
            assert value is None
            assert position not in failed
            continue
        try:
            number: float | None = float(Decimal(text.strip()))
        except (InvalidOperation, OverflowError):
            number = None
        if number is not None and np.isfinite(number):
            assert value == number
        else:
            assert position in failed


@pytest.mark.parametrize("wanted", [pa.int64(), pa.float64(), pa.string()])
@pytest.mark.parametrize("text", ["", "  ", "nan", "NaN"])
def test_ways_to_say_nothing(wanted: pa.DataType, text: str) -> None:
    assert parsed(column([text, None], pa.string()), wanted) == ([None, None], [])


@pytest.mark.parametrize(
    "text",
    ["x", "1.5", "1e3", "--1", "1 2", "9223372036854775808", "-9223372036854775809", "9" * 31],
)
def test_no_whole_number(text: str) -> None:
    assert parsed(column([text, "7"]), pa.int64()) == ([None, 7], [0])


@pytest.mark.parametrize("text", ["x", "inf", "-inf", "Infinity", "1e400", "1,5", "£2", "1.2.3"])
def test_no_number(text: str) -> None:
    assert parsed(column([text, "0.5"]), pa.float64()) == ([None, 0.5], [0])


def test_numbers_as_whole_numbers() -> None:
    floats = [1.0, -3.0, 1.5, float("nan"), float("inf"), None, 2 * LARGEST_EXACT_FLOAT]
    assert parsed(column(floats), pa.int64()) == ([1, -3] + [None] * 5, [2, 4, 6])
    assert parsed(column([1, 2**63], pa.uint64()), pa.int64()) == ([1, None], [1])
    assert parsed(column([1, None], pa.int8()), pa.int64()) == ([1, None], [])
    assert parsed(column([True, False, None]), pa.int64()) == ([1, 0, None], [])


def test_whole_numbers_as_numbers() -> None:
    assert parsed(column([1, None, 2**63 - 1]), pa.float64()) == ([1.0, None, 2.0**63], [])
    floats = [0.5, float("nan"), float("inf"), None]
    assert parsed(column(floats, pa.float32()), pa.float64()) == ([0.5, None, None, None], [2])


def test_levels() -> None:
    levels = ["Brand_B", None, "Brand_B", "Pull&Bear"]
    for texts in (
        column(levels),
        column(levels, pa.large_string()),
        pa.chunked_array([pa.array(levels).dictionary_encode()]),
    ):
        assert parsed(texts, pa.string()) == (levels, [])
    assert parsed(column([7, None]), pa.string()) == (["7", None], [])


@pytest.mark.parametrize("wanted", [pa.int64(), pa.float64(), pa.string()])
@pytest.mark.parametrize("value", [b"bytes", [1, 2], {"a": 1}])
def test_values_that_are_none_of_these(wanted: pa.DataType, value: object) -> None:
    assert parsed(column([value]), wanted) == ([None], [0])


@pytest.mark.parametrize("wanted", [pa.int64(), pa.float64(), pa.string()])
def test_column_without_any_value(wanted: pa.DataType) -> None:
    assert parsed(column([None, None]), wanted) == ([None, None], [])
    assert parsed(pa.chunked_array([], pa.string()), wanted) == ([], [])
