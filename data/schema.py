"""The canonical tables and the role of each of their columns.

Every source ends in three tables, `events`, `customers` and `variants`. What a model may see of a
column follows from its role alone, which travels in the Parquet field metadata.
"""

from collections.abc import Iterable
from enum import StrEnum

import pyarrow as pa

SCHEMA_VERSION = 2
"""Raised whenever the meaning or layout of a dataset directory changes."""

SPLITS = ("train", "validation", "test")


class Role(StrEnum):
    """What a column is, and so when its value is known."""

    ID = "id"
    """Index or original key; never a feature by itself."""
    LABEL = "label"
    """Returned (1) or kept (0)."""
    SPLIT = "split"
    """Which part of the data a row belongs to."""
    TIME = "time"
    """When the order was placed."""
    BASKET = "basket"
    """Which events were ordered together."""
    PROFILE = "profile"
    """Known of a customer before the order."""
    CATALOGUE = "catalogue"
    """Known of a variant before the order."""
    ORDER = "order"
    """Known when the order is placed."""
    AGGREGATE = "aggregate"
    """Computed from outcomes, the event's own among them: leaks the label."""
    ATTRIBUTE = "attribute"
    """A level that many share; becomes a virtual node."""
    AFTER = "after"
    """Known only after the order (a delivery date): never a feature."""


ROLES = {role.value.encode(): role for role in Role}
"""Each role by how field metadata writes it."""


def column(
    name: str, type_: pa.DataType, role: Role, description: str, unit: str | None = None
) -> pa.Field:
    """A typed column with its role, meaning and unit in the field metadata.

    Args:
        name: Column name.
        type_: Arrow type.
        role: What the column is.
        description: One sentence for the reader of the data.
        unit: Unit of a number, e.g. `GBP`, `days`, `share`.

    Returns:
        The field; nullable unless it is an id other than a row reference.
    """
    metadata = {"role": role.value, "description": description}
    if unit is not None:
        metadata["unit"] = unit
    return pa.field(name, type_, metadata=metadata)


def role_of(field: pa.Field) -> Role:
    """The role written in a field's metadata.

    Raises:
        ValueError: The field carries no role, or one that does not exist.
    """
    text = (field.metadata or {}).get(b"role")
    if text is None:
        raise ValueError(f"column '{field.name}' carries no role in its field metadata")
    # Asked a hundred times a request: a dictionary answers sooner than the enumeration.
    role = ROLES.get(text)
    return Role(text.decode()) if role is None else role


def description_of(field: pa.Field) -> str:
    """The description written in a field's metadata; empty if there is none."""
    description: bytes = (field.metadata or {}).get(b"description", b"")
    return description.decode()


def columns_with_role(schema: pa.Schema, roles: Iterable[Role]) -> list[str]:
    """Names of the columns that have one of the roles, in table order."""
    wanted = set(roles)
    return [field.name for field in schema if role_of(field) in wanted]


def is_categorical(field: pa.Field) -> bool:
    """Whether a column holds levels rather than quantities: text, or any attribute."""
    return pa.types.is_string(field.type) or role_of(field) is Role.ATTRIBUTE


# What a source hands over (`SourceTables`): original keys. `customer_key`, `variant_key` and
# `row_id` are int64 or string, as the source has them, alike in every table.


def source_event_columns(key_type: pa.DataType, row_id_type: pa.DataType) -> list[pa.Field]:
    """Columns that `SourceTables.events` starts with; `time` and `basket_key` may follow.

    Args:
        key_type: Type of the source's customer and variant keys, `int64` or `string`.
        row_id_type: Type of the source's own row key, `int64` or `string`.
    """
    return [
        column("row_id", row_id_type, Role.ID, "The source's own key of the row, else its number"),
        column("customer_key", key_type, Role.ID, "The source's customer id"),
        column("variant_key", key_type, Role.ID, "The source's variant id"),
        column("returned", pa.int8(), Role.LABEL, "1 returned, 0 kept, null unknown"),
        column("split", pa.string(), Role.SPLIT, "train, validation or test"),
    ]


TIME = column("time", pa.date32(), Role.TIME, "Date the order was placed")
BASKET_KEY = column("basket_key", pa.string(), Role.ID, "The source's basket")
PERIOD = column("period", pa.string(), Role.SPLIT, "Half of the release the row was computed in")

EVENT = column("event", pa.int64(), Role.ID, "Contiguous index of the event")
CUSTOMER = column("customer", pa.int64(), Role.ID, "Contiguous index of the customer")
VARIANT = column("variant", pa.int64(), Role.ID, "Contiguous index of the variant")
CUSTOMER_ROW = column(
    "customer_row", pa.int64(), Role.ID, "Row of the customer in customers.parquet; null if none"
)
VARIANT_ROW = column(
    "variant_row", pa.int64(), Role.ID, "Row of the variant in variants.parquet; null if none"
)
BASKET = column("basket", pa.int64(), Role.BASKET, "Contiguous index of the basket")

REJECTS = pa.schema(
    [
        pa.field("file", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("content", pa.string()),
    ]
)
"""Rows set aside: source file, 1-based data row, reason, and the row itself as JSON text."""
