"""Bins that two samples of a column are counted in, laid out by the first of them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from returns.columns import quantity

NUM_BINS = 10
"""Bins of a quantity: deciles of the reference."""

MOST_LEVELS = 20
"""Levels of a category with a bin of their own; the rest share one."""

MISSING, OTHER, NEW = "missing", "other", "new"

Codes = tuple[np.ndarray, np.ndarray]
"""Bin of each reference and of each new event."""


def quantile_bins(
    reference: pa.ChunkedArray, current: pa.ChunkedArray
) -> tuple[Codes, tuple[str, ...]]:
    """Deciles of the reference, and a bin for missing values.

    Args:
        reference: Numbers, null or NaN for none.
        current: Numbers, likewise.

    Returns:
        Bin of each value of both samples, int64, and the names of the bins; bins that no value is
        in are left out.
    """
    before, now = quantity(reference), quantity(current)
    known = before[~np.isnan(before)]
    cuts = np.linspace(0, 1, NUM_BINS + 1)[1:-1]
    edges = np.unique(np.quantile(known, cuts)) if len(known) else np.array([])
    names = [_interval(*ends) for ends in pairwise([-np.inf, *edges.tolist(), np.inf])]
    codes = [
        np.where(np.isnan(values), len(names), np.searchsorted(edges, values, side="left"))
        for values in (before, now)
    ]
    return _used(codes, [*names, MISSING])


def level_bins(
    reference: pa.ChunkedArray, current: pa.ChunkedArray
) -> tuple[Codes, tuple[str, ...]]:
    """The most frequent levels of the reference, and a bin each for its others, new ones, and none.

    Args:
        reference: Levels, null for none.
        current: Levels, likewise.

    Returns:
        As `quantile_bins`.
    """
    counts = pc.value_counts(reference.drop_null())
    levels, numbers = counts.field("values"), counts.field("counts").to_numpy()
    order = np.argsort(-numbers, kind="stable")
    common = levels.take(pa.array(order[:MOST_LEVELS]))
    codes = []
    for values in (reference, current):
        code = _positions(values, common)
        known = _positions(values, levels) >= 0
        other = np.where(known, len(common), len(common) + 1)
        code = np.where(code >= 0, code, other)
        codes.append(np.where(values.is_null().to_numpy(), len(common) + 2, code))
    names = [str(level) for level in common.to_pylist()]
    return _used(codes, [*names, OTHER, NEW, MISSING])


def _used(codes: Sequence[np.ndarray], names: Sequence[str]) -> tuple[Codes, tuple[str, ...]]:
    """Leave out the bins that no event is in."""
    used = np.unique(np.concatenate(codes)).astype(np.int64)
    first, second = (np.searchsorted(used, code) for code in codes)
    return (first, second), tuple(names[place] for place in used)


def _positions(values: pa.ChunkedArray, among: pa.Array) -> np.ndarray:
    position = pc.index_in(values, value_set=among, skip_nulls=True)
    return np.asarray(pc.fill_null(position, -1).to_numpy(), dtype=np.int64)


def _interval(low: float, high: float) -> str:
    if np.isinf(low):
        return "all" if np.isinf(high) else f"to {high:.4g}"
    return f"over {low:.4g}" if np.isinf(high) else f"{low:.4g} to {high:.4g}"
