"""ASOS GraphReturns: the release's six tables, from a folder or straight from OSF."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Self

import pandas as pd
import pyarrow as pa

from data.osf import OsfProject
from data.reporter import Reporter
from data.schema import description_of
from data.sources.base import Options, SourceTables, no_rejects
from data.sources.mapped.description import ColumnType
from data.sources.new_events import NewEventColumn
from data.sources.release.checking import CheckedTable, Rows, check
from data.sources.release.events import EVENTS, event_rows, unlabelled_event_rows
from data.sources.release.layout import (
    CUSTOMER_NODES,
    EVENT_TABLE,
    LABEL,
    LAYOUTS,
    OSF_PROJECT,
    PERIODS,
    PRODUCT_NODES,
    RELEASE_FILES,
    Period,
    TableLayout,
)
from data.sources.release.nodes import CUSTOMERS, VARIANTS, customer_rows, variant_rows
from data.sources.release.reading import (
    RawTable,
    raw_table_of_frame,
    raw_table_of_rows,
    read_raw_table,
)
from data.validation import Fault, InputError

SUFFIXES = (".p", ".csv")
"""Formats of the tables. Where a table is there in both, the release's own pickle is read."""

PERIOD_OF_SPLIT: Mapping[str, Period] = {
    "train": "training",
    "validation": "training",
    "test": "testing",
}

MISSING_ROWS_LEAK = ("customers",)
"""Only customers with a return have a row, and events without one were returned .10 more often."""


@dataclass(frozen=True)
class GraphReturns:
    """The release's tables `event_table`, `customer_nodes`, `product_nodes`, two periods of each.

    Attributes:
        folder: Holds the six tables, each as `TABLE_PERIOD.p` or `TABLE_PERIOD.csv`.
        project: Where files that the folder lacks are downloaded from; None if they are not.
    """

    folder: Path
    project: OsfProject | None = None

    @classmethod
    def from_osf(cls, download_folder: Path) -> Self:
        """The release as published, downloaded into a folder unless it is already there."""
        return cls(download_folder, OsfProject(OSF_PROJECT))

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "graphreturns"

    @property
    def options(self) -> Options:
        """Nothing but the files shapes the reading."""
        return {}

    def files(self, reporter: Reporter) -> Sequence[Path]:
        """The six files, downloaded first where the source is OSF.

        Raises:
            InputError: Files are missing or cannot be had.
        """
        if self.project is not None:
            self.project.download(RELEASE_FILES, self.folder, reporter)
        return list(self._locate().values())

    def read(self, reporter: Reporter) -> SourceTables:
        """Read and check the six tables.

        Raises:
            InputError: A file cannot be used; carries the faults of all six.
        """
        reading = _Reading()
        paths = self._locate()
        for number, ((layout, period), path) in enumerate(paths.items()):
            reporter.progress("read tables", number, len(paths))
            reading.add(layout, partial(read_raw_table, path, layout), _rows_of(layout, period))
        reporter.progress("read tables", len(paths), len(paths))
        return reading.tables()

    def read_new_events(self, path: Path) -> SourceTables:
        """Read events to score; a label column is ignored if present.

        Node tables are read where they lie beside the events under the matching name, as
        `customer_nodes_X` beside `event_table_X`.

        Args:
            path: An event table, `.p` or `.csv`, or a folder that holds exactly one.

        Raises:
            InputError: A file cannot be used; carries all faults.
        """
        reading = _Reading()
        event_path = _event_table_in(path) if path.is_dir() else path
        reading.add(
            EVENT_TABLE,
            partial(read_raw_table, event_path, EVENT_TABLE, labelled=False),
            unlabelled_event_rows,
        )
        for layout in (CUSTOMER_NODES, PRODUCT_NODES):
            node_path = _beside(event_path, layout)
            if node_path is not None:
                reading.add(
                    layout, partial(read_raw_table, node_path, layout), _rows_of(layout, "testing")
                )
        return reading.tables()

    def _locate(self) -> dict[tuple[TableLayout, Period], Path]:
        found, faults = {}, []
        for layout, period in product(LAYOUTS, PERIODS):
            stem = f"{layout.name}_{period}"
            path = _table_at(self.folder, stem)
            if path is None:
                message = f"neither {stem}.p nor {stem}.csv is there"
                remedy = "Name the folder that holds the release's six tables"
                faults.append(Fault(str(self.folder), message, remedy))
            else:
                found[layout, period] = path
        if faults:
            raise InputError(faults)
        return found


def tables_from_frame(events: pd.DataFrame) -> SourceTables:
    """Bring event rows in memory, without node tables, to the form of files to score.

    Args:
        events: Columns `hash(variantID)` and `hash(customerId)`; others are ignored, the label
            among them.

    Raises:
        InputError: A column is missing, or no row can be scored.
    """
    return _unlabelled(partial(raw_table_of_frame, events, "data frame"))


def tables_from_rows(events: pa.Table) -> SourceTables:
    """Bring event rows in memory to the form of files, as `tables_from_frame`, but from Arrow."""
    return _unlabelled(partial(raw_table_of_rows, events, "events"))


def new_event_columns() -> list[NewEventColumn]:
    """The columns of events to score."""
    return [
        NewEventColumn(each.raw, ColumnType.INTEGER, True, description=description_of(each.field))
        for each in EVENT_TABLE.columns
        if each.raw != LABEL
    ]


def _unlabelled(read: Callable[..., RawTable]) -> SourceTables:
    reading = _Reading()
    reading.add(
        EVENT_TABLE, partial(read, layout=EVENT_TABLE, labelled=False), unlabelled_event_rows
    )
    return reading.tables()


class _Reading:
    """Gathers what the files hold, and the faults of all of them."""

    def __init__(self) -> None:
        self._tables = {
            EVENT_TABLE.name: [EVENTS.empty_table()],
            CUSTOMER_NODES.name: [CUSTOMERS.empty_table()],
            PRODUCT_NODES.name: [VARIANTS.empty_table()],
        }
        self._rejects = [no_rejects()]
        self._counts: dict[str, int] = {}
        self._faults: list[Fault] = []

    def add(
        self,
        layout: TableLayout,
        read: Callable[[], RawTable],
        rows_of: Callable[[CheckedTable], Rows],
    ) -> None:
        """Read, check and convert one table, or note its faults."""
        try:
            checked = check(read(), layout)
        except InputError as error:
            self._faults += error.faults
            return
        table, counts = rows_of(checked)
        self._tables[layout.name].append(table)
        self._counts |= counts
        self._rejects.append(checked.rejects)

    def tables(self) -> SourceTables:
        """Everything gathered.

        Raises:
            InputError: Any table had faults.
        """
        if self._faults:
            raise InputError(self._faults)
        # One chunk a column: the bytes of a Parquet file depend on chunks, and its digest must not
        # depend on how many threads read the files.
        events, customers, variants = (
            pa.concat_tables(tables).combine_chunks() for tables in self._tables.values()
        )
        return SourceTables(
            events=events,
            customers=customers,
            variants=variants,
            rejects=pa.concat_tables(self._rejects),
            counts=self._counts,
            period_of_split=PERIOD_OF_SPLIT,
            missing_rows_leak=MISSING_ROWS_LEAK,
        )


def _rows_of(layout: TableLayout, period: Period) -> Callable[[CheckedTable], Rows]:
    rows_of = {
        EVENT_TABLE.name: event_rows,
        CUSTOMER_NODES.name: customer_rows,
        PRODUCT_NODES.name: variant_rows,
    }[layout.name]
    return partial(rows_of, period=period)


def _event_table_in(folder: Path) -> Path:
    stems = sorted(
        {
            path.stem
            for path in folder.glob(f"{EVENT_TABLE.name}_*")
            if path.suffix in SUFFIXES and path.is_file()
        }
    )
    path = _table_at(folder, stems[0]) if len(stems) == 1 else None
    if path is None:
        message, remedy = "the folder holds no event table", "Put event_table_NAME.csv there"
        if stems:
            message = f"the folder holds several event tables: {', '.join(stems)}"
            remedy = "Name the file of one of them"
        raise InputError([Fault(str(folder), message, remedy)])
    return path


def _beside(event_path: Path, layout: TableLayout) -> Path | None:
    if f"{EVENT_TABLE.name}_" not in event_path.stem:
        return None
    return _table_at(event_path.parent, event_path.stem.replace(EVENT_TABLE.name, layout.name))


def _table_at(folder: Path, stem: str) -> Path | None:
    candidates = (folder / f"{stem}{suffix}" for suffix in SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)
