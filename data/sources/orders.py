"""Dated order lines in the 14 columns of the Data Mining Cup 2014 task.

It is `data.sources.tables.Tables` with a built-in mapping.
"""

from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa

from data.reporter import Reporter
from data.sources.base import Options, SourceTables
from data.sources.mapped.description import TablesMapping
from data.sources.mapping import parse_mapping
from data.sources.new_events import NewEventColumn
from data.sources.tables import Tables
from data.validation import Fault, InputError

EVENTS: dict[str, object] = {
    "file": "orders.csv",
    "nulls": ["?"],
    "row_id": "order_item_id",
    "customer": "user_id",
    "variant": ["item_id", "item_size", "item_color"],
    "basket": ["user_id", "order_date"],
    "time": "order_date",
    "returned": "return",
    "columns": {
        "order_item_id": {"type": "integer"},
        "user_id": {"type": "integer"},
        "order_date": {"type": "date"},
        "return": {"type": "flag"},
        "item_price": {
            "role": "order",
            "type": "number",
            "unit": "EUR",
            "description": "Price of the order line",
        },
        "delivery_date": {
            "role": "after",
            "type": "date",
            "description": "Date of delivery",
            # The retailer's stand-in for an unknown date.
            "nulls": ["1990-12-31"],
            "years_before_order": {"maximum": 0},
        },
        "user_title": {
            "role": "profile",
            "type": "category",
            "description": "Form of address",
        },
        "user_dob": {
            "name": "user_date_of_birth",
            "role": "profile",
            "type": "date",
            "description": "Date of birth",
            "years_before_order": {"minimum": 10, "maximum": 100},
        },
        "user_reg_date": {
            "name": "user_registration_date",
            "role": "profile",
            "type": "date",
            "description": "Date of registration",
            "years_before_order": {"minimum": 0},
        },
        "user_state": {
            "role": "attribute",
            "of": "customer",
            "type": "category",
            "description": "Federal state",
        },
        "item_id": {
            "name": "item",
            "role": "attribute",
            "of": "variant",
            "type": "integer",
            "description": "Item of any size and colour",
        },
        "item_size": {
            "name": "size",
            "role": "attribute",
            "of": "variant",
            "type": "category",
            "case": "lower",
            "description": "Size",
        },
        "item_color": {
            "name": "colour",
            "role": "attribute",
            "of": "variant",
            "type": "category",
            "case": "lower",
            "description": "Colour",
        },
        "brand_id": {
            "name": "brand",
            "role": "attribute",
            "of": "variant",
            "type": "integer",
            "description": "Brand",
        },
    },
}
"""The mapping of the events; `docs/examples/orders_mapping.yaml` says the same."""


def orders_mapping(
    test_from: date | None = None, validation_from: date | None = None
) -> TablesMapping:
    """The mapping of the 14 columns.

    Args:
        test_from: First day of the test; None: the last calendar month of the data.
        validation_from: First day of validation; None: the month before the test's.

    Raises:
        InputError: Validation would not begin before the test.
    """
    split = {"by": "time", "validation_from": validation_from, "test_from": test_from}
    return parse_mapping({"events": EVENTS, "split": split}, "orders")


class Orders:
    """Source of dated order lines."""

    def __init__(
        self, path: Path, test_from: date | None = None, validation_from: date | None = None
    ) -> None:
        """Describe the source; the file is not read yet.

        Args:
            path: The CSV file, or a folder that holds it as `orders.csv`.
            test_from: First day of the test; None: the last calendar month of the data.
            validation_from: First day of validation; None: the month before the test's.

        Raises:
            InputError: Validation would not begin before the test.
        """
        self._days = {"test_from": test_from, "validation_from": validation_from}
        self._tables = Tables(orders_mapping(test_from, validation_from), path)

    @classmethod
    def from_options(cls, options: Options, path: Path | None = None) -> "Orders":
        """Build the source again from its options.

        Args:
            options: What `options` of an equal source gave, perhaps by way of JSON.
            path: As for the constructor; not needed to read new events.

        Raises:
            InputError: The options name no valid days.
        """
        days = {name: _day(name, options.get(name)) for name in ("test_from", "validation_from")}
        return cls(Path() if path is None else path, **days)

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "orders"

    @property
    def options(self) -> Options:
        """First days of the test and of validation as ISO 8601, None by default."""
        return {name: None if day is None else day.isoformat() for name, day in self._days.items()}

    def files(self, reporter: Reporter) -> list[Path]:
        """The orders file.

        Raises:
            InputError: It is missing.
        """
        return self._tables.files(reporter)

    def read(self, reporter: Reporter) -> SourceTables:
        """Read and validate the file.

        Raises:
            InputError: It cannot be used; carries all faults.
        """
        return self._tables.read(reporter)

    def read_new_events(self, path: Path) -> SourceTables:
        """Read order lines to score; `return` and `delivery_date` are not read.

        Args:
            path: A file in the same columns, or a folder that holds it as `orders.csv`.

        Raises:
            InputError: The file cannot be used; carries all faults.
        """
        return self._tables.read_new_events(path)

    def tables_from_frame(self, frame: pd.DataFrame) -> SourceTables:
        """Read order lines to score from rows in memory.

        Args:
            frame: Raw rows under the file's column names.

        Raises:
            InputError: A column is missing or holds what is no plain value.
        """
        return self._tables.tables_from_frame(frame)

    def tables_from_rows(self, rows: pa.Table) -> SourceTables:
        """Read order lines to score from rows in memory, as `tables_from_frame`, but from Arrow."""
        return self._tables.tables_from_rows(rows)

    def new_event_columns(self) -> list[NewEventColumn]:
        """The columns of order lines to score, in the file's order."""
        return self._tables.new_event_columns()


def _day(name: str, value: object) -> date | None:
    try:
        return None if value is None else date.fromisoformat(str(value))
    except ValueError as error:
        fault = Fault("options of the source 'orders'", f"{name}: {error}", "Write 2013-02-01")
        raise InputError([fault]) from error
