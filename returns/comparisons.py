"""How an order line compares with earlier ones: its price, its size."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.dataset import Dataset
from returns.columns import single_precision, without_too_large
from returns.timeline import Timeline

NUMBER = r"^\d+(\.\d+)?\+?$"
"""Levels such as 42, 7.5 and 40+; a plus stands for half a step."""

OUTCOMES = {"kept": 0, "returned": 1}
"""Label of what became of an order line."""


def relative_values(
    values: Mapping[str, np.ndarray],
    keys: Mapping[str, np.ndarray],
    day: np.ndarray,
    targets: np.ndarray,
    apart: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Quantities of an order line, such as its price, against earlier lines of the same key.

    Args:
        values: Quantities of every event, float64 `(num_events,)`, NaN unknown.
        keys: Code of each event per key, int64 `(num_events,)`, -1 where unknown.
        day: Day of the order, int64 `(num_events,)`.
        targets: Events to describe, int64 `(num_targets,)`.
        apart: Events that are summed by themselves before both sums are added, so that the other
            sum may be had beforehand; bool `(num_events,)`.

    Returns:
        `{column}_to_mean_of_{key}`: the quantity divided by its mean over earlier events of the
        key; float32 `(num_targets,)`, NaN without a positive mean.
    """
    features: dict[str, np.ndarray] = {}
    for key_name, key in keys.items():
        for name, value in values.items():
            known = ~np.isnan(value)
            parts = (known,) if apart is None else (known & ~apart, known & apart)
            pasts = [Timeline.of(key, day, targets, part) for part in parts]
            count = np.sum([past.count for past in pasts], axis=0)
            total = np.sum([past.sum(value) for past in pasts], axis=0)
            features |= relative_to_mean(name, key_name, value[targets], count, total)
    return features


def relative_to_mean(
    name: str, key: str, value: np.ndarray, count: np.ndarray, total: np.ndarray
) -> dict[str, np.ndarray]:
    """A quantity relative to the mean of others, float32, NaN without a positive mean.

    A quotient too large for float32 is unknown as well.

    Args:
        name: Of the quantity.
        key: What the others share.
        value: float64 `(num_targets,)`.
        count: Number of others, `(num_targets,)`.
        total: Their sum, float64 `(num_targets,)`.
    """
    mean = np.where(total > 0, total, np.nan) / np.maximum(count, 1)
    return {f"{name}_to_mean_of_{key}": single_precision(value / mean)}


def levels_as_numbers(dataset: Dataset, attributes: Sequence[str]) -> dict[str, np.ndarray]:
    """Attributes of the variant whose levels are numbers, such as sizes.

    Args:
        dataset: All events and node rows.
        attributes: Names of text columns of the variants.

    Returns:
        Per attribute the number of each event's level, float64 `(num_events,)`, NaN for none.
    """
    rows = dataset.events["variant_row"]
    return {
        name: _numbers(dataset.variants[name]).take(rows).to_numpy(zero_copy_only=False)
        for name in attributes
    }


def number_against_past(
    numbers: Mapping[str, np.ndarray],
    customer: np.ndarray,
    day: np.ndarray,
    returned: np.ndarray,
    known: np.ndarray,
    targets: np.ndarray,
    label_delay_days: int = 0,
) -> dict[str, np.ndarray]:
    """A level's number, such as a size, against what the customer kept and returned before.

    Args:
        numbers: Number of each event's level per attribute, float64 `(num_events,)`, NaN for none.
        customer: Customer index, int64 `(num_events,)`.
        day: Day of the order, int64 `(num_events,)`.
        returned: 1 returned, 0 kept, -1 unknown; int8 `(num_events,)`.
        known: Events whose label may be used at all, bool `(num_events,)`.
        targets: Events to describe, int64 `(num_targets,)`.
        label_delay_days: Days after the order until its label is known.

    Returns:
        Per attribute `{name}_number`, `{name}_above_kept` and `{name}_above_returned`: the
        difference to the mean of the customer's earlier kept (returned) lines; float32
        `(num_targets,)`, NaN without such lines.
    """
    features: dict[str, np.ndarray] = {}
    for name, number in numbers.items():
        features[f"{name}_number"] = number[targets].astype(np.float32)
        for outcome, label in OUTCOMES.items():
            heard = known & (returned == label) & ~np.isnan(number)
            past = Timeline.of(customer, day, targets, heard, label_delay_days)
            total = past.sum(number)
            features |= above_mean(name, outcome, number[targets], past.count, total)
    return features


def above_mean(
    name: str, outcome: str, number: np.ndarray, count: np.ndarray, total: np.ndarray
) -> dict[str, np.ndarray]:
    """A level's number minus the mean of others, float32, NaN without others.

    A difference too large for float32 is unknown as well.

    Args:
        name: Of the attribute.
        outcome: What became of the others.
        number: float64 `(num_targets,)`.
        count: Number of others, `(num_targets,)`.
        total: Their sum, float64 `(num_targets,)`.
    """
    mean = total / np.where(count > 0, count, np.nan)
    return {f"{name}_above_{outcome}": single_precision(number - mean)}


def share_of_numbers(column: pa.ChunkedArray) -> float:
    """Share of a text column's known values that are numbers."""
    known: int = len(column) - column.null_count
    numbers = np.asarray(_numbers(column).to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.count_nonzero(np.isfinite(numbers)) / max(known, 1)


def _numbers(column: pa.ChunkedArray) -> pa.Array:
    """Each value as a number, NaN for null, for other text and beyond `columns.LARGEST`."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    levels = encoded.dictionary
    digits = pc.match_substring_regex(levels, NUMBER)
    plain = pc.replace_substring(levels, pattern="+", replacement="")
    half_step = pc.multiply(pc.cast(pc.ends_with(levels, "+"), pa.float64()), 0.5)
    number = pc.add(pc.cast(pc.if_else(digits, plain, "nan"), pa.float64()), half_step)
    number = pa.array(without_too_large(number.to_numpy(zero_copy_only=False)))
    filled: pa.Array = pc.fill_null(number.take(encoded.indices), float("nan"))
    return filled
