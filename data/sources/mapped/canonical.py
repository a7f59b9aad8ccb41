"""From parsed rows to the canonical tables, original keys kept."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.schema import BASKET_KEY, SPLITS, TIME, column, source_event_columns
from data.sources.mapped.description import ColumnMapping, Owner, TableMapping
from data.sources.mapped.keys import codes, first_rows, join_key
from data.sources.mapped.rows import ParsedRows

SPLIT_POSITION = 4
"""Where `split` stands among the columns that events start with."""


def flat_events(
    rows: ParsedRows, split: str | None, scoring: bool, labels_may_lack: bool = False
) -> pa.Table:
    """Check keys and labels, and bring the rows that stand the checks under canonical names.

    Args:
        rows: Parsed rows of the events; the faulty ones are set aside here.
        split: Column that names the part of each row; None where there is none.
        scoring: Whether the label is unknown, whatever the input says.
        labels_may_lack: Whether an order without a label is not faulty but still open.

    Returns:
        `row_id`, `customer_key`, `variant_key`, `returned`, and where known `split`, `time` and
        `basket_key`; then every column with a role, whatever it describes.
    """
    table, values = rows.table, rows.values
    customer = _key(rows, table.customer, "customer key", required=len(table.customer))
    variant = _key(rows, table.variant, "variant key", required=1)
    label, row_id = _labels(rows, scoring, labels_may_lack), _row_ids(rows)
    key_types = zip(
        source_event_columns(customer.type, row_id.type),
        (row_id.type, customer.type, variant.type, pa.int8(), pa.string()),
        strict=True,
    )
    # Customers and variants may have keys of different types.
    fields = {field.name: field.with_type(type_) for field, type_ in key_types}
    columns = [
        (fields["row_id"], row_id),
        (fields["customer_key"], customer),
        (fields["variant_key"], variant),
        (fields["returned"], label),
    ]
    if split is not None and not scoring:
        columns.append((fields["split"], _parts(rows, split)))
    if table.time is not None:
        rows.require(table.time, values[table.time], "the order date")
        columns.append((TIME, values[table.time]))
    if table.basket:
        key = _key(rows, table.basket, "basket key", required=len(table.basket))
        columns.append((BASKET_KEY, pc.cast(key, pa.string())))
    columns += [(field_of(each), values[each.source]) for each in table.columns if each.role]
    _reject_repeated_rows(rows, row_id, label, scoring)
    return rows.keep(_assemble(columns))


def with_split(flat: pa.Table, split: pa.ChunkedArray) -> pa.Table:
    """Set the part that each event belongs to.

    Args:
        flat: What `flat_events` returned.
        split: Part of each row, string `(num_rows,)`.
    """
    field = source_event_columns(pa.string(), pa.string())[SPLIT_POSITION]
    others = flat.drop_columns("split") if "split" in flat.column_names else flat
    return others.add_column(SPLIT_POSITION, field, split)


def event_table(flat: pa.Table, table: TableMapping) -> pa.Table:
    """The events: keys, label, split, then time, basket and what describes the order.

    Args:
        flat: What `with_split` returned.
        table: The mapping of the events.
    """
    keys = ["row_id", "customer_key", "variant_key", "returned", "split", "time", "basket_key"]
    names = [*keys, *(each.name for each in table.columns_of(Owner.ORDER))]
    return flat.select([name for name in names if name in flat.column_names])


def nodes_of_events(flat: pa.Table, owner: Owner, columns: Sequence[ColumnMapping]) -> pa.Table:
    """The customers or variants that occur in events, each as its first row in time shows it.

    Args:
        flat: What `flat_events` returned.
        owner: Customer or variant.
        columns: Columns that describe the owner.

    Returns:
        One row per key, in order of first appearance.
    """
    key = f"{owner}_key"
    wanted = flat.select([key, *(each.name for each in columns)])
    return wanted.take(pa.array(_first_in_time(flat, codes(flat[key]))))


def num_differing(flat: pa.Table, owner: Owner, columns: Sequence[ColumnMapping]) -> int:
    """How many customers or variants have rows that differ.

    Args:
        flat: What `flat_events` returned.
        owner: Customer or variant.
        columns: Columns that describe the owner.
    """
    code = codes(flat[f"{owner}_key"])
    first = _first_in_time(flat, code)
    differs = np.zeros(len(first), dtype=bool)
    for each in columns:
        value = codes(flat[each.name])
        differs[code[value != value[first][code]]] = True
    return int(differs.sum())


def node_table(rows: ParsedRows, owner: Owner) -> pa.Table:
    """The customers or variants of a file of their own; the first row of a key stands.

    Args:
        rows: Parsed rows of the file; the faulty ones are set aside here.
        owner: Customer or variant.
    """
    sources = rows.table.customer if owner is Owner.CUSTOMER else rows.table.variant
    required = len(sources) if owner is Owner.CUSTOMER else 1
    key = _key(rows, sources, f"{owner} key", required)
    rows.reject_repeated(" + ".join(sources), key, f"{owner} key")
    described = rows.table.columns_of(owner)
    columns = [(_key_field(owner, key.type), key)]
    columns += [(field_of(each), rows.values[each.source]) for each in described]
    return rows.keep(_assemble(columns))


def empty_nodes(table: TableMapping, owner: Owner, key_type: pa.DataType) -> pa.Table:
    """The table that `node_table` gives for no rows."""
    fields = [_key_field(owner, key_type), *map(field_of, table.columns_of(owner))]
    return pa.schema(fields).empty_table()


def field_of(mapped: ColumnMapping) -> pa.Field:
    """The canonical field of a column that has a role."""
    if mapped.role is None:
        raise ValueError(f"column '{mapped.source}' has no role")
    return column(mapped.name, mapped.type.arrow, mapped.role, mapped.description, mapped.unit)


def _first_in_time(flat: pa.Table, code: np.ndarray) -> np.ndarray:
    """The first row in time of each code, int64 `(num_codes,)`."""
    order = flat["time"].to_numpy() if "time" in flat.column_names else None
    return first_rows(code, order)


def _key(rows: ParsedRows, sources: Sequence[str], what: str, required: int) -> pa.ChunkedArray:
    key = join_key([rows.values[source] for source in sources], required)
    rows.require(" + ".join(sources), key, f"the {what}")
    return key


def _key_field(owner: Owner, type_: pa.DataType) -> pa.Field:
    position = 1 if owner is Owner.CUSTOMER else 2
    return source_event_columns(type_, type_)[position]


def _row_ids(rows: ParsedRows) -> pa.ChunkedArray:
    source = rows.table.row_id
    if source is None:
        return pa.chunked_array([rows.row_numbers()])
    return _key(rows, (source,), "row key", required=1)


def _labels(rows: ParsedRows, scoring: bool, may_lack: bool) -> pa.ChunkedArray:
    source = rows.table.returned
    if scoring or source is None:
        return pa.chunked_array([pa.nulls(len(rows), pa.int8())])
    if not may_lack:
        rows.require(source, rows.values[source], "the label")
    return rows.values[source]


def _parts(rows: ParsedRows, source: str) -> pa.ChunkedArray:
    parts = rows.values[source]
    known = pc.is_in(parts, value_set=pa.array(SPLITS, pa.string()))
    unknown = ~np.asarray(known.to_numpy(), dtype=bool)
    rows.reject(unknown, f"column '{source}': not one of {', '.join(SPLITS)}")
    return parts


def _reject_repeated_rows(
    rows: ParsedRows, row_id: pa.ChunkedArray, label: pa.ChunkedArray, scoring: bool
) -> None:
    source = rows.table.row_id
    if source is not None:
        rows.reject_repeated(source, row_id, "row key", None if scoring else label)


def _assemble(columns: Sequence[tuple[pa.Field, pa.ChunkedArray]]) -> pa.Table:
    fields, arrays = zip(*columns, strict=True)
    return pa.table(list(arrays), schema=pa.schema(list(fields)))
