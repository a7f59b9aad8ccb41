"""Keys made of one or several columns."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SEPARATOR = "|"
ESCAPE = "\\"


def join_key(parts: Sequence[pa.ChunkedArray], required: int) -> pa.ChunkedArray:
    """One key of several columns, distinct for distinct parts.

    Args:
        parts: Columns of the key, of any type that is not nested.
        required: How many leading parts must be given; the key is null where one of them is null.

    Returns:
        The column itself, as int64 or string, if it is the only one. Else text, the parts joined
        by `|`, a missing part empty; a `|` or backslash inside a part is escaped by a backslash.
    """
    if len(parts) == 1:
        (only,) = parts
        return only if pa.types.is_int64(only.type) else pc.cast(only, pa.string())
    texts = [_escaped(part) for part in parts]
    key = pc.binary_join_element_wise(
        *texts, SEPARATOR, null_handling="replace", null_replacement=""
    )
    for part in parts[:required]:
        if not part.null_count:
            continue
        key = pc.if_else(pc.is_valid(part), key, pa.scalar(None, pa.string()))
    return key


def codes(values: pa.ChunkedArray) -> np.ndarray:
    """Number the distinct values in order of first appearance, -1 for null; int64 `(num_rows,)`."""
    given = values.combine_chunks()
    if isinstance(given, pa.ChunkedArray):
        given = given.combine_chunks()
    if pa.types.is_dictionary(given.type):
        given = given.indices  # numbered in another order, perhaps with gaps
    indices = given.dictionary_encode().indices
    if indices.null_count:
        indices = pc.fill_null(indices, -1)
    return np.asarray(indices.to_numpy(), dtype=np.int64)


def first_rows(code: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """The first row of each code.

    Args:
        code: Codes `0 .. n - 1`, each of them present; int64 `(num_rows,)`.
        order: What rows are ordered by, e.g. the day, ties in row order; None: row order alone.

    Returns:
        Row number per code, int64 `(n,)`.
    """
    rows = np.arange(len(code)) if order is None else np.argsort(order, kind="stable")
    first = np.empty(int(code.max(initial=-1)) + 1, dtype=np.int64)
    # Of repeated assignments the last one stands.
    first[code[rows[::-1]]] = rows[::-1]
    return first


def _escaped(part: pa.ChunkedArray) -> pa.ChunkedArray:
    text = pc.cast(part, pa.string())
    if not pa.types.is_string(part.type):
        return text
    for character in (ESCAPE, SEPARATOR):
        # Finding is much faster than replacing, and there is seldom anything to replace.
        if pc.any(pc.match_substring(text, character)).as_py():
            text = pc.replace_substring(text, character, ESCAPE + character)
    return text
