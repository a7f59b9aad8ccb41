"""How an order line compares with earlier ones: its price, its size."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.dataset import Dataset
from returns.timeline import Timeline

NUMBER = r"^\d+(\.\d+)?\+?$"
"""Levels such as 42, 7.5 and 40+; a plus stands for half a step."""


def relative_values(
    values: Mapping[str, np.ndarray],
    keys: Mapping[str, np.ndarray],
    day: np.ndarray,
    targets: np.ndarray,
) -> dict[str, np.ndarray]:
    """Quantities of an order line, such as its price, against earlier lines of the same key.

    Args:
        values: Quantities of every event, float64 `(num_events,)`, NaN unknown.
        keys: Code of each event per key, int64 `(num_events,)`, -1 where unknown.
        day: Day of the order, int64 `(num_events,)`.
        targets: Events to describe, int64 `(num_targets,)`.

    Returns:
        `{column}_to_mean_of_{key}`: the quantity divided by its mean over earlier events of the
        key; float32 `(num_targets,)`, NaN without a positive mean.
    """
    features: dict[str, np.ndarray] = {}
    for key_name, key in keys.items():
        for name, value in values.items():
            known = ~np.isnan(value)
            past = Timeline.of(key, day, targets, known)
            total = past.sum(value)
            mean = np.where(total > 0, total, np.nan) / np.maximum(past.count, 1)
            features[f"{name}_to_mean_of_{key_name}"] = (value[targets] / mean).astype(np.float32)
    return features


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
        for outcome, label in (("kept", 0), ("returned", 1)):
            heard = known & (returned == label) & ~np.isnan(number)
            past = Timeline.of(customer, day, targets, heard, label_delay_days)
            mean = past.sum(number) / np.where(past.count > 0, past.count, np.nan)
            features[f"{name}_above_{outcome}"] = (number[targets] - mean).astype(np.float32)
    return features


def share_of_numbers(column: pa.ChunkedArray) -> float:
    """Share of a text column's known values that are numbers."""
    known: int = len(column) - column.null_count
    numbers = np.asarray(_numbers(column).to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.count_nonzero(np.isfinite(numbers)) / max(known, 1)


def _numbers(column: pa.ChunkedArray) -> pa.Array:
    """Each value as a number, NaN for null and for other text."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    levels = encoded.dictionary
    digits = pc.match_substring_regex(levels, NUMBER)
    plain = pc.replace_substring(levels, pattern="+", replacement="")
    half_step = pc.multiply(pc.cast(pc.ends_with(levels, "+"), pa.float64()), 0.5)
    number = pc.add(pc.cast(pc.if_else(digits, plain, "nan"), pa.float64()), half_step)
    filled: pa.Array = pc.fill_null(number.take(encoded.indices), float("nan"))
    return filled
