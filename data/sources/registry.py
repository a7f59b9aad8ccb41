"""Readers of new events by the name and options of the source that a model was trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa

from data.sources.base import SourceTables
from data.sources.graphreturns import (
    GraphReturns,
    new_event_columns,
    tables_from_frame,
    tables_from_rows,
)
from data.sources.new_events import NewEventColumn
from data.sources.orders import Orders
from data.sources.tables import Tables


class NewEventsReader(Protocol):
    """Reads events to score, from files or from memory, in a source's own format."""

    def read_new_events(self, path: Path) -> SourceTables:
        """Read a file; see `data.sources.base.Source.read_new_events`."""

    def tables_from_frame(self, frame: pd.DataFrame) -> SourceTables:
        """Read rows in memory, columns as in the file."""

    def tables_from_rows(self, rows: pa.Table) -> SourceTables:
        """Read rows in memory, columns as in the file."""

    def new_event_columns(self) -> list[NewEventColumn]:
        """The columns of the file."""


class _ReleaseReader:
    """Event tables in the layout of the release, which the twin shares."""

    def read_new_events(self, path: Path) -> SourceTables:
        return GraphReturns(path).read_new_events(path)

    def tables_from_frame(self, frame: pd.DataFrame) -> SourceTables:
        return tables_from_frame(frame)

    def tables_from_rows(self, rows: pa.Table) -> SourceTables:
        return tables_from_rows(rows)

    def new_event_columns(self) -> list[NewEventColumn]:
        return new_event_columns()


def reader(source: str, options: Mapping[str, Any]) -> NewEventsReader:
    """The reader of a source's format.

    Args:
        source: Name of the source.
        options: Its options, as a dataset's manifest holds them.

    Raises:
        ValueError: There is no such source.
    """
    if source in ("twin", "graphreturns"):
        return _ReleaseReader()
    if source == "orders":
        return Orders.from_options(options)
    if source == "tables":
        return Tables.from_options(options)
    raise ValueError(f"unknown source '{source}'")
