"""Whether one-hot columns say the same as the column of levels that they repeat.

In the release the letters of product types are shifted: `productType_D` has its one in column
`productType_E`, because `Jeans` stands in column `productType_D`. So the columns are matched to
the levels by the rows themselves, one to one, and only rows against the match are faulty.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class OneHotCheck:
    """What the comparison found.

    Attributes:
        column_of_level: The one-hot column of each level that has one.
        mismatches: Rows whose one-hot columns disagree with their level.
        shifted_letters: Levels named like a one-hot column that belong to another one.
    """

    column_of_level: Mapping[str, str | None]
    mismatches: int
    shifted_letters: int


def compare_one_hot(levels: pa.ChunkedArray, one_hot: pa.Table) -> OneHotCheck:
    """Match one-hot columns to levels and count the rows that do not follow.

    Each level gets the column that is one in most of its rows. A column serves the level with
    most such rows only. A level without a column of its name may have none at all, as
    `Pull&Bear` in the release; its rows are then to be all zero.

    Args:
        levels: Text of each row; null means all columns should be zero.
        one_hot: The one-hot columns, integer, of any values.

    Returns:
        The match and what it counted.
    """
    names = np.array(one_hot.column_names)
    none, invalid = len(names), len(names) + 1
    encoded = levels.combine_chunks().dictionary_encode()
    level_names = np.array(encoded.dictionary.to_pylist(), dtype=str)
    no_level = len(level_names)
    level = encoded.indices.fill_null(no_level).to_numpy().astype(np.int64)
    hot = _hot_column(one_hot, none, invalid)
    pairs = np.bincount(level * (invalid + 1) + hot, minlength=(no_level + 1) * (invalid + 1))
    rows = pairs.reshape(no_level + 1, invalid + 1)[:no_level, :invalid]
    has_own_column = np.isin(level_names, names)
    rows[has_own_column, none] = 0
    matched = _match(rows, none)
    expected = np.append(matched, none)
    has_column = (matched >= 0) & (matched < none)
    column_of_level = dict(
        zip(level_names[has_column].tolist(), names[matched[has_column]].tolist(), strict=True)
    )
    return OneHotCheck(
        column_of_level=column_of_level,
        mismatches=int((hot != expected[level]).sum()),
        shifted_letters=sum(
            name != column and name in one_hot.column_names
            for name, column in column_of_level.items()
        ),
    )


def _hot_column(one_hot: pa.Table, none: int, invalid: int) -> np.ndarray:
    """Position of each row's only one, `none` where all are zero, else `invalid`; int64."""
    hot = np.full(one_hot.num_rows, none, dtype=np.int64)
    is_invalid = np.zeros(one_hot.num_rows, dtype=bool)
    for position, column in enumerate(one_hot.columns):
        values = column.fill_null(-1).to_numpy()
        is_one = values == 1
        is_invalid |= (values != 0) & ~is_one
        is_invalid |= is_one & (hot != none)
        hot[is_one] = position
    hot[is_invalid] = invalid
    return hot


def _match(rows: np.ndarray, none: int) -> np.ndarray:
    """Choose a column, or `none`, for each level; -1 where another level has the better claim.

    Args:
        rows: Rows of each level in each column, int64 `(num_levels, none + 1)`.
        none: Position that stands for having no column; any number of levels may have it.
    """
    best = rows.argmax(axis=1)
    claim = rows.max(axis=1)
    strongest_first = np.argsort(-claim, kind="stable")
    _, first = np.unique(best[strongest_first], return_index=True)
    has_best_claim = np.isin(np.arange(len(rows)), strongest_first[first]) | (best == none)
    return np.where(has_best_claim & (claim > 0), best, -1)
