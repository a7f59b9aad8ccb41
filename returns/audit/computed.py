"""Columns that follow from labels which were not known when the order was placed.

Whatever formula made a history of returns (a sum, a rate, a smoothed rate), it gives equal values
wherever the number of labels and the number of returns among them are equal. So a column was
computed from a window of labels if events of different keys with equal sums have equal values,
while equal numbers of labels alone, or equal sums over the honest past, do not make them so. Keys
that are few seldom have equal sums; then a column that is a straight line of the sum or of the rate
was computed from it.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from data.schema import is_categorical
from returns.audit.findings import Check, Finding, Severity
from returns.audit.subject import Subject, numbers
from returns.audit.windows import BEFORE_THE_DAY, LabelSums, label_windows
from returns.columns import attribute_codes

MOST_EVENTS = 20_000
"""Training events that are looked at, drawn at random."""

DETERMINED = 0.98
"""Share of equal pairs from which on a column counts as computed; a few values may be mended."""

MOST_UNEQUAL = 0.1
"""Most unequal pairs, as a share of those expected from other sums: a flag that is nearly always 0
is equal in most pairs."""

FEWEST_EXPECTED = 14.0
"""Fewest unequal pairs expected from other sums: none at all is then one chance in a million."""

LEAST_EQUAL = 0.3
"""Least share of pairs that is taken to be equal otherwise, so that fewer than 20 will not do."""

FEWEST_POINTS = 100
"""Fewest events that must lie on a straight line."""

SAME = 1e-6
"""Largest difference of equal values, as a share of the column's range: formulas round."""

STRAIGHT = 1 - 1e-9
"""Correlation from which on points lie on a straight line. With a past of 10,000 orders an honest
rate comes within 1e-6 of one that holds the order's own outcome."""


def find_columns_computed_from_labels(subject: Subject) -> Iterator[Finding]:
    """Numeric columns of the source that labels of the order's own time or later determine."""
    columns = subject.train.columns
    names = [field.name for field in columns.schema if not is_categorical(field)]
    if not names:
        return
    values = np.stack([_scaled(numbers(columns[name])) for name in names], axis=1)
    best: dict[str, Finding] = {}
    for key_name, key in _keys(subject).items():
        chosen = np.flatnonzero(key[subject.train.events.index] >= 0)
        chosen = np.random.default_rng(0).permutation(chosen)[:MOST_EVENTS]
        targets = subject.train.events.index[chosen]
        windows = dict(label_windows(subject.dataset, subject.arrays, key, targets))
        past = windows.pop(BEFORE_THE_DAY, None)
        for window, sums in windows.items():
            evidence = _evidence(sums, past, _ranks(key[targets]), values[chosen])
            for place, figures in evidence.items():
                before = best.get(names[place])
                if before is None or _strength(before.figures) < _strength(figures):
                    best[names[place]] = _finding(names[place], key_name, window, figures)
    yield from best.values()


def _finding(name: str, key: str, window: str, figures: Mapping[str, float]) -> Finding:
    return Finding(
        Check.COMPUTED,
        (name,),
        Severity.LEAK,
        figures,
        f"it follows from the labels of the {key}: {window}",
        "Leave it out, or declare it `aggregate`; this project computes what earlier orders say",
    )


def _strength(figures: Mapping[str, float]) -> float:
    """By which one of two windows that seem to determine a column is told from the other."""
    return sum(value for name, value in figures.items() if name != "pairs")


def _keys(subject: Subject) -> dict[str, np.ndarray]:
    arrays = subject.arrays
    codes = attribute_codes(subject.dataset, subject.protocol)
    return {"customer": arrays.customer, "variant": arrays.variant, **codes}


def _scaled(values: np.ndarray) -> np.ndarray:
    """The values as shares of their range; all unknown where the range is empty."""
    if np.isnan(values).all():
        return values
    spread = np.nanmax(values) - np.nanmin(values)
    scaled: np.ndarray = (values - np.nanmin(values)) / (spread if spread > 0 else np.nan)
    return scaled


def _evidence(
    sums: LabelSums, past: LabelSums | None, key: np.ndarray, values: np.ndarray
) -> dict[int, dict[str, float]]:
    """The columns that a window determines, by their number, each with what was measured.

    Args:
        sums: Sums over the window, of each event.
        past: Sums over the honest past, in dated data.
        key: Key of each event, int64 `(num_events,)`, from 0 up without gaps.
        values: Scaled values, float64 `(num_events, num_columns)`, NaN unknown; in random order.
    """
    determined, num_pairs = _equal_pairs(sums, key, values)
    counts_alone = LabelSums(sums.labelled, np.zeros_like(sums.returned))
    otherwise, _ = _equal_pairs(counts_alone, key, values)
    if past is not None:
        otherwise = np.fmax(otherwise, _equal_pairs(past, key, values)[0])
    expected = (1 - np.fmax(otherwise, LEAST_EQUAL)) * num_pairs
    is_determined = (
        (determined >= DETERMINED)
        & (expected >= FEWEST_EXPECTED)
        & ((1 - determined) * num_pairs <= MOST_UNEQUAL * expected)
    )
    found = {}
    rate = sums.returned / np.maximum(sums.labelled, 1)
    lines = {"sum": sums.returned, "rate": np.where(sums.labelled, rate, np.nan)}
    for place in range(values.shape[1]):
        figures = {}
        if is_determined[place]:
            figures = {"equal pairs": float(determined[place]), "pairs": int(num_pairs[place])}
        for name, line in lines.items():
            correlation = abs(_correlation(line, values[:, place]))
            if correlation >= STRAIGHT:
                figures[f"correlation with the {name}"] = correlation
        if figures:
            found[place] = figures
    return found


def _equal_pairs(
    sums: LabelSums, key: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of pairs of different keys with equal sums that have equal values.

    Returns:
        One share per column, NaN without pairs, float64 `(num_columns,)`; and the number of
        pairs, int64 `(num_columns,)`.
    """
    cell = sums.labelled * (int(sums.returned.max(initial=0)) + 1) + sums.returned
    order = np.argsort(cell, kind="stable")
    left, right = order[:-1], order[1:]
    is_pair = (cell[left] == cell[right]) & (key[left] != key[right])
    left, right = left[is_pair], right[is_pair]
    # Two keys say as much once as in all pairs of their events.
    low, high = np.minimum(key[left], key[right]), np.maximum(key[left], key[right])
    _, first = np.unique((_ranks(cell[left]) * len(key) + low) * len(key) + high, return_index=True)
    difference = np.abs(values[left[first]] - values[right[first]])
    num_pairs = (~np.isnan(difference)).sum(axis=0)
    equal = (difference <= SAME).sum(axis=0)
    return np.where(num_pairs, equal / np.maximum(num_pairs, 1), np.nan), num_pairs


def _ranks(codes: np.ndarray) -> np.ndarray:
    """Number of each code among the distinct ones, int64, from 0 up without gaps."""
    return np.asarray(np.unique(codes, return_inverse=True)[1])


def _correlation(line: np.ndarray, values: np.ndarray) -> float:
    """Pearson correlation where both are known; 0 where it is not defined."""
    known = ~np.isnan(values) & ~np.isnan(line)
    if known.sum() < FEWEST_POINTS:
        return 0.0
    x, y = line[known] - line[known].mean(), values[known] - values[known].mean()
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / scale if scale > 0 else 0.0
