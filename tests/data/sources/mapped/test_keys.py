import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.sources.mapped.keys import codes, first_rows, join_key

PART = st.one_of(st.none(), st.text(alphabet="ab|\\", min_size=1, max_size=3))


def _column(values: list, type_: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, type_)])


def test_parts_are_joined_and_missing_ones_are_empty() -> None:
    key = join_key([_column([7, 8]), _column(["m", None]), _column(["red", None])], required=1)
    assert key.to_pylist() == ["7|m|red", "8||"]


def test_key_is_null_where_a_required_part_is() -> None:
    key = join_key([_column([7, None, 8]), _column(["m", "m", None])], required=2)
    assert key.to_pylist() == ["7|m", None, None]


def test_single_integer_stays_an_integer_and_anything_else_becomes_text() -> None:
    assert join_key([_column([2**62])], required=1).type == pa.int64()
    assert join_key([_column(["007"])], required=1).to_pylist() == ["007"]


@given(st.lists(st.tuples(st.text("ab|\\", min_size=1), PART, PART), min_size=2, max_size=20))
def test_keys_are_equal_only_if_all_parts_are(rows: list[tuple]) -> None:
    parts = [_column(list(part), pa.string()) for part in zip(*rows, strict=True)]
    keys = join_key(parts, required=1).to_pylist()
    assert len(set(keys)) == len(set(rows))


@given(st.lists(st.one_of(st.none(), st.integers(-3, 3)), max_size=30))
def test_codes_number_values_by_first_appearance(values: list) -> None:
    levels = list(dict.fromkeys(value for value in values if value is not None))
    expected = [-1 if value is None else levels.index(value) for value in values]
    half = len(values) // 2
    column = pa.chunked_array([values[:half], values[half:]], pa.int64())
    assert codes(column).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=30))
def test_first_rows_are_first_in_time_then_in_the_file(rows: list[tuple[int, int]]) -> None:
    levels = {key: code for code, key in enumerate(dict.fromkeys(key for key, _ in rows))}
    code = np.array([levels[key] for key, _ in rows])
    day = np.array([day for _, day in rows])
    expected = [
        min((day[row], row) for row in np.flatnonzero(code == each))[1] for each in levels.values()
    ]
    assert first_rows(code, day).tolist() == expected
    assert first_rows(code, None).tolist() == [int(np.argmax(code == c)) for c in levels.values()]


@pytest.mark.parametrize("order", [None, np.array([], dtype=np.int32)])
def test_no_rows_have_no_first_rows(order: np.ndarray | None) -> None:
    assert first_rows(np.array([], dtype=np.int64), order).tolist() == []
