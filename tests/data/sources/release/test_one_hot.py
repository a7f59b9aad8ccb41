import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from data.sources.release.one_hot import compare_one_hot

NAMES = ["type_A", "type_B", "type_C", "type_D"]


def texts(levels: list[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(levels, pa.string())])


def one_hot(columns: list[str | None]) -> pa.Table:
    """A row per entry, with its one in the named column, or all zero."""
    return pa.table({name: [int(name == column) for column in columns] for name in NAMES})


def test_columns_named_as_their_levels() -> None:
    levels = ["type_B", "type_A", "type_B", "type_D"]
    found = compare_one_hot(texts(levels), one_hot(list(levels)))
    assert found.column_of_level == {level: level for level in levels}
    assert (found.mismatches, found.shifted_letters) == (0, 0)


def test_shift_of_the_release() -> None:
    column_of = {"type_A": "type_A", "jeans": "type_B", "type_B": "type_C", "type_C": "type_D"}
    levels = [*column_of] * 3
    found = compare_one_hot(texts(list(levels)), one_hot([column_of[level] for level in levels]))
    assert found.column_of_level == column_of
    assert (found.mismatches, found.shifted_letters) == (0, 2)


def test_level_without_a_column() -> None:
    found = compare_one_hot(texts(["other", "other", "type_A"]), one_hot([None, None, "type_A"]))
    assert found.column_of_level == {"type_A": "type_A"}
    assert found.mismatches == 0


def test_level_with_a_column_of_its_name_needs_a_one() -> None:
    found = compare_one_hot(texts(["type_A"] * 3), one_hot([None, None, "type_A"]))
    assert found.mismatches == 2
    assert compare_one_hot(texts(["type_A"] * 3), one_hot([None] * 3)).mismatches == 3


def test_two_levels_do_not_share_a_column() -> None:
    levels = ["type_A"] * 3 + ["type_B"] * 2
    found = compare_one_hot(texts(list(levels)), one_hot(["type_A"] * 5))
    assert found.column_of_level == {"type_A": "type_A"}
    assert found.mismatches == 2


def test_missing_levels_expect_zeros() -> None:
    found = compare_one_hot(texts([None, None, "type_A"]), one_hot([None, "type_B", "type_A"]))
    assert found.mismatches == 1
    assert compare_one_hot(texts([None, None]), one_hot([None, "type_A"])).mismatches == 1


def test_rows_that_are_not_one_hot() -> None:
    levels = ["type_A"] * 5
    columns = one_hot(["type_A"] * 5).to_pydict()
    columns["type_B"][0] = 1
    columns["type_B"][1] = 2
    columns["type_B"][2] = None
    columns["type_A"][3] = -1
    assert compare_one_hot(texts(list(levels)), pa.table(columns)).mismatches == 4


LEVELS = st.lists(st.sampled_from([*NAMES, "jeans"]), min_size=1, max_size=60)


@settings(deadline=None)
@given(LEVELS, st.permutations([*NAMES, None]), st.integers(0, 2**32 - 1))
def test_only_rows_against_the_match_count(
    levels: list[str], columns: list[str | None], seed: int
) -> None:
    # Any one-to-one match is accepted, as long as a level with a column of its name has one.
    column_of = dict(zip([*NAMES, "jeans"], columns, strict=True))
    without = next(level for level, column in column_of.items() if column is None)
    column_of[without], column_of["jeans"] = column_of["jeans"], None
    found = compare_one_hot(texts(list(levels)), one_hot([column_of[level] for level in levels]))
    assert found.mismatches == 0
    assert found.shifted_letters == sum(
        level in NAMES and column_of[level] != level for level in set(levels)
    )
    rng = np.random.default_rng(seed)
    number = len(levels) // 5
    spoilt = rng.choice(len(levels), number, replace=False)
    table = one_hot([column_of[level] for level in levels]).to_pydict()
    for name in NAMES:
        for row in spoilt:
            table[name][row] = 1
    assert compare_one_hot(texts(list(levels)), pa.table(table)).mismatches == number
