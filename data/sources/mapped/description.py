"""What a mapping says of a retailer's files: plain typed values, checked by `data.sources.mapping`.

`as_json` of a mapping is the same content in JSON values with every default spelt out; reading
that back gives an equal mapping, so a stored model can read new files of the same format.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

import pyarrow as pa

from data.schema import Role


class ColumnType(StrEnum):
    """How the text of a column is read."""

    NUMBER = "number"
    INTEGER = "integer"
    DATE = "date"
    CATEGORY = "category"
    FLAG = "flag"

    @property
    def arrow(self) -> pa.DataType:
        """Arrow type of the values read."""
        return {
            ColumnType.NUMBER: pa.float64(),
            ColumnType.INTEGER: pa.int64(),
            ColumnType.DATE: pa.date32(),
            ColumnType.CATEGORY: pa.string(),
            ColumnType.FLAG: pa.int8(),
        }[self]


class Owner(StrEnum):
    """What a column describes, and so which canonical table it goes to."""

    ORDER = "order"
    CUSTOMER = "customer"
    VARIANT = "variant"


class Case(StrEnum):
    """What happens to the letter case of a category."""

    KEEP = "keep"
    LOWER = "lower"


class FileFormat(StrEnum):
    """Format of an input file."""

    CSV = "csv"
    PARQUET = "parquet"

    @classmethod
    def of_name(cls, name: str) -> "FileFormat | None":
        """The format that a file's name tells, None if it tells none."""
        if name.lower().endswith((".parquet", ".pq")):
            return cls.PARQUET
        return cls.CSV if name.lower().endswith((".csv", ".csv.gz")) else None


class SplitBy(StrEnum):
    """How events are parted into train, validation and test."""

    TIME = "time"
    COLUMN = "column"
    CUSTOMER = "customer"


Bound = float | date | None


@dataclass(frozen=True)
class Limits:
    """Smallest and largest possible value, each included; None where there is no limit."""

    minimum: Bound = None
    maximum: Bound = None

    def as_json(self) -> dict[str, Any]:
        """The limits as JSON values."""
        return {"minimum": _bound_as_json(self.minimum), "maximum": _bound_as_json(self.maximum)}


@dataclass(frozen=True)
class ColumnMapping:
    """One column of a file.

    Attributes:
        source: Name in the file.
        type: How its text is read.
        role: What the column is; None where it is part of a key, the label or the time only.
        owner: What it describes; None where it has no role.
        name: Name in the canonical tables.
        description: One sentence for the reader of the data.
        unit: Unit of a number.
        nulls: Further values that mean null, beside those of the table.
        date_format: Format of a date, as in `strptime`.
        case: Letter case of a category.
        values: Text of a flag, and the 0 or 1 it means.
        limits: Possible values of a number, integer or date; others become null and are counted.
        years_before_order: Years from the date to the order that are possible; other dates
            become null and are counted.
    """

    source: str
    type: ColumnType
    role: Role | None
    owner: Owner | None
    name: str
    description: str
    unit: str | None
    nulls: tuple[str, ...]
    date_format: str
    case: Case
    values: Mapping[str, int]
    limits: Limits
    years_before_order: Limits

    def as_json(self) -> dict[str, Any]:
        """The entry of the column as JSON values; what its type does not know is left out."""
        content: dict[str, Any] = {"type": self.type.value, "nulls": list(self.nulls)}
        if self.role is not None and self.owner is not None:
            content |= {
                "role": self.role.value,
                "of": self.owner.value,
                "name": self.name,
                "description": self.description,
                "unit": self.unit,
            }
        if self.type is ColumnType.CATEGORY:
            content["case"] = self.case.value
        if self.type is ColumnType.FLAG:
            content["values"] = dict(self.values)
        if self.type in (ColumnType.NUMBER, ColumnType.INTEGER, ColumnType.DATE):
            content |= self.limits.as_json()
        if self.type is ColumnType.DATE:
            content["date_format"] = self.date_format
            if self.years_before_order != Limits():
                content["years_before_order"] = self.years_before_order.as_json()
        return content


@dataclass(frozen=True)
class TableMapping:
    """One file.

    Attributes:
        file: Path, relative to the folder of the mapping.
        format: CSV or Parquet.
        delimiter: Character between the fields of a CSV file.
        decimal: Character before the decimals of a number.
        nulls: Values that mean null in every column; an empty one always does.
        date_format: Format of dates, unless a column says otherwise.
        ignore_unmentioned: Whether columns that the mapping does not name are passed over.
        row_id: Column that identifies the row; None: the row's number does.
        customer: Columns of the customer's key.
        variant: Columns of the variant's key; all but the first may be null.
        returned: Column of the label.
        time: Column of the order date.
        basket: Columns of the basket's key; empty where there are no baskets.
        columns: Every column that is read.
        ignored: Columns that are named but not read.
    """

    file: str
    format: FileFormat
    delimiter: str
    decimal: str
    nulls: tuple[str, ...]
    date_format: str
    ignore_unmentioned: bool
    row_id: str | None
    customer: tuple[str, ...]
    variant: tuple[str, ...]
    returned: str | None
    time: str | None
    basket: tuple[str, ...]
    columns: tuple[ColumnMapping, ...]
    ignored: tuple[str, ...]

    def column(self, source: str) -> ColumnMapping:
        """The column of that name in the file.

        Raises:
            KeyError: The mapping reads no such column.
        """
        for column in self.columns:
            if column.source == source:
                return column
        raise KeyError(source)

    def columns_of(self, owner: Owner) -> list[ColumnMapping]:
        """Columns with a role that describe the owner, in the mapping's order."""
        return [column for column in self.columns if column.owner is owner]

    def as_json(self) -> dict[str, Any]:
        """The entry of the table as JSON values."""
        keys: dict[str, Any] = {
            "row_id": self.row_id,
            "customer": list(self.customer),
            "variant": list(self.variant),
            "returned": self.returned,
            "time": self.time,
            "basket": list(self.basket),
        }
        content: dict[str, Any] = {
            "file": self.file,
            "format": self.format.value,
            "delimiter": self.delimiter,
            "decimal": self.decimal,
            "nulls": list(self.nulls),
            "date_format": self.date_format,
            "unmentioned": "ignore" if self.ignore_unmentioned else "error",
        }
        content |= {key: columns for key, columns in keys.items() if columns}
        content["columns"] = {column.source: column.as_json() for column in self.columns}
        content["columns"] |= dict.fromkeys(self.ignored, "ignore")
        return content


@dataclass(frozen=True)
class SplitMapping:
    """How events are parted; what does not belong to the way chosen is None.

    Attributes:
        by: The way.
        validation_from: First day of validation; None: the month before the test's.
        test_from: First day of the test; None: the last calendar month of the data.
        column: Column that names the part of each row.
        validation_share: Share of customers in validation.
        test_share: Share of customers in the test.
    """

    by: SplitBy
    validation_from: date | None = None
    test_from: date | None = None
    column: str | None = None
    validation_share: float | None = None
    test_share: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The entry of the split as JSON values."""
        content: dict[str, Any] = {"by": self.by.value}
        if self.by is SplitBy.TIME:
            content["validation_from"] = _bound_as_json(self.validation_from)
            content["test_from"] = _bound_as_json(self.test_from)
        elif self.by is SplitBy.COLUMN:
            content["column"] = self.column
        else:
            content["validation_share"] = self.validation_share
            content["test_share"] = self.test_share
        return content


@dataclass(frozen=True)
class TablesMapping:
    """A retailer's tables.

    Attributes:
        events: The order lines.
        customers: Customers, where they have a file of their own.
        variants: Variants, where they have a file of their own.
        split: How events are parted.
    """

    events: TableMapping
    customers: TableMapping | None
    variants: TableMapping | None
    split: SplitMapping

    def as_json(self) -> dict[str, Any]:
        """The whole mapping as JSON values, defaults spelt out."""
        tables = {"events": self.events, "customers": self.customers, "variants": self.variants}
        content = {name: table.as_json() for name, table in tables.items() if table is not None}
        return {**content, "split": self.split.as_json()}


def _bound_as_json(bound: Bound) -> float | str | None:
    return bound.isoformat() if isinstance(bound, date) else bound
