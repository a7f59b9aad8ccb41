"""Feature columns of events as the tables hold them: joined to their node rows, not yet encoded."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.dataset import Dataset
from data.schema import Role, columns_with_role, is_categorical
from returns.knowledge import days
from returns.protocol import Protocol

DAYS_BEFORE_ORDER = "_days_before_order"
"""Suffix of the number that a known date becomes."""

LARGEST = float(np.finfo(np.float32).max)
"""Of the numbers that models take, which is single precision; beyond it a number is unknown."""


def event_columns(dataset: Dataset, protocol: Protocol, events: np.ndarray) -> pa.Table:
    """Every feature column the protocol admits, one row per event.

    A customer or variant without a node row has nulls. A date becomes the number of days from it
    to the order (to 1970-01-01 in undated data).

    Args:
        dataset: All events and node rows.
        protocol: Which roles become features.
        events: Events wanted, int64 `(num_selected,)`.

    Raises:
        ValueError: Two tables have a feature column of the same name.
    """
    selected = dataset.events.take(pa.array(events))
    order_day = days(selected["time"]) if dataset.is_dated else np.zeros(len(events), np.int64)
    columns: dict[pa.Field, pa.ChunkedArray] = {}
    for table, rows in (
        (selected, None),
        (dataset.customers, selected["customer_row"]),
        (dataset.variants, selected["variant_row"]),
    ):
        found = _feature_columns(table, protocol)
        if rows is not None:
            found = found.take(rows)
        for field, values in zip(found.schema, found.columns, strict=True):
            columns |= dict([_undate(field, values, order_day)])
    names = [field.name for field in columns]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"feature columns named alike in two tables: {', '.join(twice)}")
    return pa.table(list(columns.values()), schema=pa.schema(list(columns)))


def node_columns(table: pa.Table, protocol: Protocol, rows: np.ndarray, day: int) -> pa.Table:
    """Feature columns of node rows.

    Args:
        table: `Dataset.customers` or `Dataset.variants`.
        protocol: Which roles become features.
        rows: Row of each node, int64 `(num_nodes,)`, -1 where there is none: all null.
        day: Day that dates are counted back from, in days since 1970-01-01.
    """
    reference = np.full(len(rows), day, dtype=np.int64)
    index = pa.array(rows, mask=rows < 0)
    found = _feature_columns(table, protocol).take(index)
    columns = dict(
        _undate(field, values, reference)
        for field, values in zip(found.schema, found.columns, strict=True)
    )
    return pa.table(list(columns.values()), schema=pa.schema(list(columns)))


def attribute_codes(dataset: Dataset, protocol: Protocol) -> dict[str, np.ndarray]:
    """Level code of each event in each attribute, -1 unknown; int64 `(num_events,)`.

    Attributes are the columns with role `attribute`, and under the paper protocol those with role
    `aggregate` that hold levels (the top return reason).
    """
    codes = {}
    for name, column, rows in attribute_columns(dataset, protocol):
        code = level_codes(column)
        codes[name] = code if rows is None else take_or(code, rows, -1)
    return codes


def attribute_columns(
    dataset: Dataset, protocol: Protocol
) -> Iterator[tuple[str, pa.ChunkedArray, pa.ChunkedArray | None]]:
    """Each attribute, where its levels stand.

    Yields:
        Its name, the column of its table, and each event's row in that table, null where there is
        none; None where the table is that of the events.
    """
    tables = (
        (dataset.events, None),
        (dataset.customers, dataset.events["customer_row"]),
        (dataset.variants, dataset.events["variant_row"]),
    )
    for table, rows in tables:
        for name in attribute_names(table.schema, protocol):
            yield name, table[name], rows


def attribute_names(schema: pa.Schema, protocol: Protocol) -> list[str]:
    """Names of a table's columns whose levels become virtual nodes."""
    names = columns_with_role(schema, [Role.ATTRIBUTE])
    if Role.AGGREGATE in protocol.feature_roles:
        aggregates = columns_with_role(schema, [Role.AGGREGATE])
        names += [name for name in aggregates if is_categorical(schema.field(name))]
    return names


def quantity_names(schema: pa.Schema) -> list[str]:
    """Names of the numeric columns of an order line, such as its price."""
    return [
        name
        for name in columns_with_role(schema, [Role.ORDER])
        if pa.types.is_integer(schema.field(name).type)
        or pa.types.is_floating(schema.field(name).type)
    ]


def quantity(column: pa.ChunkedArray) -> np.ndarray:
    """A numeric column as float64, NaN for null and beyond `LARGEST`."""
    if column.type != pa.float64():
        column = column.cast(pa.float64())
    return without_too_large(np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64))


def without_too_large(values: np.ndarray) -> np.ndarray:
    """Numbers with NaN for those beyond `LARGEST`; the array itself where there are none."""
    too_large = np.abs(values) > LARGEST
    return np.where(too_large, np.nan, values) if too_large.any() else values


def single_precision(values: np.ndarray) -> np.ndarray:
    """Numbers as float32, NaN for those that are too large for it, of which no model can learn."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32, copy=False)
    too_large = np.isinf(single)
    return np.where(too_large, np.float32(np.nan), single) if too_large.any() else single


def level_codes(column: pa.ChunkedArray) -> np.ndarray:
    """Code of each value, numbered by first appearance; -1 for null; int64 `(num_rows,)`."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return filled(encoded.indices, -1).astype(np.int64)


def filled(values: pa.Array | pa.ChunkedArray, missing: int) -> np.ndarray:
    """Integers as an array of their own type, with a number in place of null."""
    whole = pc.fill_null(values, missing) if values.null_count else values
    return np.asarray(whole.to_numpy())


def take_or(values: np.ndarray, rows: pa.ChunkedArray, missing: float) -> np.ndarray:
    """`values[rows]` with `missing` where the row is null."""
    index = filled(rows, -1)
    return np.where(index >= 0, np.append(values, missing)[index], missing)


def _feature_columns(table: pa.Table, protocol: Protocol) -> pa.Table:
    return table.select(columns_with_role(table.schema, protocol.feature_roles))


def _undate(
    field: pa.Field, values: pa.ChunkedArray, reference: np.ndarray
) -> tuple[pa.Field, pa.ChunkedArray]:
    if not pa.types.is_date32(field.type):
        return field, values
    elapsed = pc.subtract(pa.array(reference), values.cast(pa.int32()).cast(pa.int64()))
    named = pa.field(field.name + DAYS_BEFORE_ORDER, pa.int64(), metadata=field.metadata)
    return named, elapsed
