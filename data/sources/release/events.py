"""Events of the release: split, and the repetitions among them counted."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.sources.release.checking import CheckedTable, Rows
from data.sources.release.layout import EVENT_FIELDS, Period

VALIDATION_SHARE = 0.1
"""Share of the training file's customers whose events validate."""

EVENTS = pa.schema(EVENT_FIELDS)


def event_rows(checked: CheckedTable, period: Period) -> Rows:
    """Events of one file, schema `EVENTS`; duplicates and conflicting labels are counted.

    The testing file is `test`. Of the training file, all events of a customer are either `train`
    or `validation`. Nothing tells a second piece of the same variant from a row copied by mistake,
    so every row is kept.
    """
    customer = checked.table["customer_key"]
    if period == "testing":
        split = pa.repeat("test", len(customer))
    else:
        validates = is_validation_customer(customer.to_numpy())
        split = pc.if_else(pa.array(validates), "validation", "train")
    return _events(checked, checked.table["returned"], split), _repetitions(checked, period)


def unlabelled_event_rows(checked: CheckedTable) -> Rows:
    """Events to score, schema `EVENTS`: no label, split `test`."""
    number = checked.table.num_rows
    return _events(checked, pa.nulls(number, pa.int8()), pa.repeat("test", number)), {}


def is_validation_customer(keys: np.ndarray) -> np.ndarray:
    """Whether the events of a customer validate; follows from the key alone.

    Args:
        keys: Customer keys, int64 `(num_events,)`.

    Returns:
        Boolean mask, true for `VALIDATION_SHARE` of all possible keys.
    """
    # SplitMix64 (Steele, Lea and Flood 2014) spreads near keys evenly over 64 bits. Its last step
    # is left out: it would change low bits only, on which the comparison does not depend.
    mixed = keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed < np.uint64(VALIDATION_SHARE * 2**64))


def _repetitions(checked: CheckedTable, period: Period) -> dict[str, int]:
    pair = ["customer_key", "variant_key"]
    num_pairs = checked.table.group_by(pair).aggregate([]).num_rows
    num_distinct = checked.table.group_by([*pair, "returned"]).aggregate([]).num_rows
    return {
        f"duplicate_events_{period}": checked.table.num_rows - num_distinct,
        f"conflicting_pairs_{period}": num_distinct - num_pairs,
    }


def _events(
    checked: CheckedTable, returned: pa.ChunkedArray | pa.Array, split: pa.Array
) -> pa.Table:
    columns = [
        pa.array(checked.numbers, pa.int64()),
        checked.table["customer_key"],
        checked.table["variant_key"],
        returned.cast(pa.int8()),
        split,
    ]
    return pa.table(columns, schema=EVENTS)
