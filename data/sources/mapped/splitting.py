"""Which part, train, validation or test, each event belongs to."""

from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from data.schema import SPLITS
from data.sources.mapped.database import cursor
from data.sources.mapped.description import SplitBy, SplitMapping
from data.sources.timesplit import resolve_split_days, split_by_time
from data.validation import Fault, InputError


def assign_splits(
    flat: pa.Table, mapping: SplitMapping, file: str
) -> tuple[pa.ChunkedArray, dict[str, int]]:
    """Part the events as the mapping says.

    Args:
        flat: What `data.sources.mapped.canonical.flat_events` returned.
        mapping: How to part them.
        file: Name of the events' input, for faults.

    Returns:
        The part of each event, string `(num_events,)`, and for a split by time the days at which
        the parts begin and the data ends, as numbers such as 20130201.

    Raises:
        InputError: A part would be empty.
    """
    days: dict[str, int] = {}
    if mapping.by is SplitBy.TIME:
        parts, days = _by_time(flat["time"], mapping, file)
    elif mapping.by is SplitBy.COLUMN:
        parts = flat["split"]
    else:
        parts = _by_customer(flat["customer_key"], mapping)
    found = set(pc.unique(parts).to_pylist())
    empty = [split for split in SPLITS if split not in found]
    if empty:
        begins = "".join(f"; {name} {day}" for name, day in days.items())
        message = f"no row would be {' or '.join(empty)}{begins}"
        remedy = "Change the `split` of the mapping, or give more data"
        raise InputError([Fault(file, message, remedy)])
    return parts, days


def _by_time(
    time: pa.ChunkedArray, mapping: SplitMapping, file: str
) -> tuple[pa.ChunkedArray, dict[str, int]]:
    extent = pc.min_max(time).as_py()
    try:
        days = resolve_split_days(extent["max"], mapping.validation_from, mapping.test_from)
    except ValueError as error:
        remedy = "Give both `validation_from` and `test_from`"
        raise InputError([Fault(file, str(error), remedy)]) from error
    begins = {
        "train_from": _as_number(extent["min"]),
        "validation_from": _as_number(days.validation_from),
        "test_from": _as_number(days.test_from),
        "last_day": _as_number(extent["max"]),
    }
    return split_by_time(time, days), begins


def _by_customer(keys: pa.ChunkedArray, mapping: SplitMapping) -> pa.ChunkedArray:
    """All events of a customer in one part, chosen by the MD5 of the key: the same on any run."""
    encoded = keys.combine_chunks().dictionary_encode()
    with cursor() as connection:
        customers = pa.table({"key": pc.cast(encoded.dictionary, pa.string())})
        connection.register("customers", customers)
        query = "SELECT CAST(md5_number_lower(key) AS DOUBLE) / 2.0 ** 64 AS place FROM customers"
        place = connection.sql(query).to_arrow_table()["place"]
    test_share, validation_share = mapping.test_share or 0.0, mapping.validation_share or 0.0
    rest = pc.if_else(
        pc.less(place, test_share + validation_share), pa.scalar("validation"), pa.scalar("train")
    )
    part = pc.if_else(pc.less(place, test_share), pa.scalar("test"), rest)
    return part.take(encoded.indices)


def _as_number(day: date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day
