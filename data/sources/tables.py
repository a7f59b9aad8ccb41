"""A retailer's own tables: CSV or Parquet files whose columns a mapping names.

`docs/own_tables.md` tells how to write the mapping.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa

from data.reporter import Reporter
from data.schema import Role
from data.sources.base import Options, SourceTables, no_rejects
from data.sources.mapped.blocks import read_scored_rows, with_texts
from data.sources.mapped.canonical import (
    empty_nodes,
    event_table,
    flat_events,
    node_table,
    nodes_of_events,
    num_differing,
    with_split,
)
from data.sources.mapped.columns import split_column
from data.sources.mapped.description import (
    FileFormat,
    Owner,
    TableMapping,
    TablesMapping,
)
from data.sources.mapped.rows import ParsedRows
from data.sources.mapped.splitting import assign_splits
from data.sources.mapped.text import (
    frame_text_rows,
    read_text_rows,
    table_text_rows,
)
from data.sources.mapped.text_rows import Selection, TextRows
from data.sources.mapping import load_mapping, parse_mapping
from data.sources.new_events import NewEventColumn
from data.validation import Fault, InputError


@dataclass(frozen=True)
class ReadTable:
    """A table of one input, with what was set aside and counted on the way.

    Attributes:
        table: The rows without a fault.
        rejects: Rows set aside, schema `data.schema.REJECTS`.
        counts: What was found and handled.
    """

    table: pa.Table
    rejects: pa.Table = field(default_factory=no_rejects)
    counts: Mapping[str, int] = field(default_factory=dict)


class Tables:
    """Source of a retailer's own tables."""

    def __init__(self, mapping: TablesMapping | Path, path: Path | None = None) -> None:
        """Describe the source; no table is read yet.

        Args:
            mapping: What the columns are, or the YAML file that says it.
            path: Folder that the files' paths start from, or the events file itself, from whose
                folder the others start. None: the folder of the YAML file, else the current one.

        Raises:
            InputError: The mapping is missing or wrong.
        """
        beside = mapping.parent if isinstance(mapping, Path) else Path()
        self._path = beside if path is None else path
        self._mapping = load_mapping(mapping) if isinstance(mapping, Path) else mapping

    @classmethod
    def from_file(
        cls, mapping: Path, test_from: date | None = None, validation_from: date | None = None
    ) -> "Tables":
        """Read a mapping whose files lie beside it, and change the days that it splits at.

        Args:
            mapping: The YAML file.
            test_from: First day of the test; None: as the mapping says.
            validation_from: First day of validation; None: as the mapping says.

        Raises:
            InputError: The mapping is missing or wrong, or does not split by time.
        """
        content = load_mapping(mapping).as_json()
        days = {"test_from": test_from, "validation_from": validation_from}
        content["split"] |= {name: day for name, day in days.items() if day is not None}
        return cls(parse_mapping(content, str(mapping)), mapping.parent)

    @classmethod
    def from_options(cls, options: Options, path: Path | None = None) -> "Tables":
        """Build the source again from its options.

        Args:
            options: What `options` of an equal source gave, perhaps by way of JSON.
            path: As for the constructor; not needed to read new events.

        Raises:
            InputError: The options hold no valid mapping.
        """
        return cls(parse_mapping(options.get("mapping"), "options of the source 'tables'"), path)

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "tables"

    @property
    def options(self) -> Options:
        """The whole mapping as JSON values."""
        return {"mapping": self._mapping.as_json()}

    @property
    def mapping(self) -> TablesMapping:
        """What the columns are."""
        return self._mapping

    def files(self, reporter: Reporter) -> list[Path]:
        """The files of the tables, events first.

        Raises:
            InputError: A file is missing; carries a fault for each.
        """
        paths = list(self._located(self._path).values())
        remedy = "Check the path given and `file` in the mapping"
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise InputError(
                [Fault(str(path), "there is no such file", remedy) for path in missing]
            )
        return paths

    def read(self, reporter: Reporter) -> SourceTables:
        """Read and validate the files.

        Raises:
            InputError: A file cannot be used; carries all faults of all files.
        """
        total = len(self.files(reporter))
        located = self._located(self._path)
        faults: list[Fault] = []
        events: ReadTable | None = None
        nodes: dict[Owner, ReadTable] = {}
        reporter.progress("read tables", 0, total)
        with _collecting(faults):
            events = self._labelled_events(located[Owner.ORDER])
        for done, (owner, table) in enumerate(self._node_tables().items(), start=1):
            reporter.progress("read tables", done, total)
            with _collecting(faults):
                nodes[owner] = _read_nodes(located[owner], table, owner, scoring=False)
        if faults or events is None:
            raise InputError(faults)
        tables = self._canonical(events, nodes, scoring=False)
        reporter.progress("read tables", total, total)
        return tables

    def read_new_events(self, path: Path) -> SourceTables:
        """Read events to score; the label and what is known only after the order are not read.

        Args:
            path: Events file in the mapping's format, or a folder of files named as in the
                mapping, of which those of customers and variants may be missing.

        Raises:
            InputError: A file cannot be used; carries all faults of all files.
        """
        located = self._located(path)
        faults: list[Fault] = []
        events: ReadTable | None = None
        nodes: dict[Owner, ReadTable] = {}
        with _collecting(faults):
            events = self._events_to_score(located[Owner.ORDER])
        for owner, table in self._node_tables().items():
            if path.is_dir() and located[owner].is_file():
                with _collecting(faults):
                    nodes[owner] = _read_nodes(located[owner], table, owner, scoring=True)
        if faults or events is None:
            raise InputError(faults)
        return self._canonical(events, nodes, scoring=True)

    def tables_from_frame(self, frame: pd.DataFrame) -> SourceTables:
        """Read events to score from rows in memory, as `read_new_events` reads them from a file.

        Args:
            frame: Raw rows under the file's column names. A row that cannot be read is set aside,
                even if it is the only one.

        Raises:
            InputError: A column is missing or holds what is no plain value.
        """
        mapping = self._mapping.events
        text = frame_text_rows(frame, "events", _selection(mapping, None, scoring=True))
        return self._canonical(
            _unlabelled(ParsedRows(text, mapping, mapping.columns)), {}, scoring=True
        )

    def tables_from_rows(self, rows: pa.Table) -> SourceTables:
        """Read events to score from rows in memory, as `tables_from_frame`, but from Arrow."""
        mapping = self._mapping.events
        text = table_text_rows(rows, "events", _selection(mapping, None, scoring=True))
        return self._canonical(
            _unlabelled(ParsedRows(text, mapping, mapping.columns)), {}, scoring=True
        )

    def new_event_columns(self) -> list[NewEventColumn]:
        """The columns of events to score, in the mapping's order."""
        events = self._mapping.events
        keys = {*events.customer, events.variant[0], *events.basket, *_given(events.time)}
        return [
            NewEventColumn(
                name=column.source,
                type=column.type,
                is_required=column.source in keys,
                is_row_id=column.source == events.row_id,
                description=column.description,
                unit=column.unit,
                values=tuple(column.values),
            )
            for column in events.columns
            if column.role is not Role.AFTER and column.source != events.returned
        ]

    def read_order_lines(self, path: Path) -> ReadTable:
        """Read one of several files of order lines, in CSV or Parquet as its name says.

        Args:
            path: The file. An order line without a label is not faulty but still open.

        Returns:
            Order lines under canonical names, customers' and variants' columns among them, not
            yet parted: what `assemble` takes.

        Raises:
            InputError: The file cannot be used; carries all faults.
        """
        table = self._mapping.events
        rows = ParsedRows(self.order_lines_as_text(path), table, table.columns)
        rows.check_columns()
        flat = flat_events(rows, None, scoring=False, labels_may_lack=True)
        rows.check_any_left()
        return ReadTable(flat, rows.rejects(), rows.counts())

    def order_lines_as_text(self, path: Path) -> TextRows:
        """The rows that `read_order_lines` would parse, as they are.

        Args:
            path: The file.

        Raises:
            InputError: It cannot be read, or its columns are not those of the mapping; carries all
                faults.
        """
        table = self._mapping.events
        table = replace(table, format=FileFormat.of_name(path.name) or table.format)
        return read_text_rows(path, table, _selection(table, None, scoring=False))

    def assemble(self, lines: ReadTable, split: pa.ChunkedArray) -> SourceTables:
        """Bring order lines of all files, and the node tables, into the canonical tables.

        Args:
            lines: Rows of `read_order_lines`.
            split: Part of each row, string `(num_rows,)`.

        Raises:
            InputError: A node table cannot be used; carries all faults.
        """
        located = self._located(self._path)
        faults: list[Fault] = []
        nodes: dict[Owner, ReadTable] = {}
        for owner, table in self._node_tables().items():
            with _collecting(faults):
                nodes[owner] = _read_nodes(located[owner], table, owner, scoring=False)
        if faults:
            raise InputError(faults)
        return self._canonical(
            replace(lines, table=with_split(lines.table, split)), nodes, scoring=False
        )

    def node_files(self) -> list[Path]:
        """Files of customers and variants, where they have some."""
        located = self._located(self._path)
        return [located[owner] for owner in self._node_tables()]

    def _labelled_events(self, path: Path) -> ReadTable:
        rows = self._rows_of_file(path)
        rows.check_columns()
        flat = flat_events(rows, self._mapping.split.column, scoring=False)
        rows.check_any_left()
        split, days = assign_splits(flat, self._mapping.split, path.name)
        return ReadTable(with_split(flat, split), rows.rejects(), {**rows.counts(), **days})

    def _events_to_score(self, path: Path) -> ReadTable:
        mapping, part = self._mapping.events, self._mapping.split.column
        rows = read_scored_rows(path, mapping, _selection(mapping, part, scoring=True))
        return ReadTable(_to_score(rows.flat), rows.rejects, rows.counts)

    def _rows_of_file(self, path: Path) -> ParsedRows:
        mapping, part = self._mapping.events, self._mapping.split.column
        text = read_text_rows(path, mapping, _selection(mapping, part, scoring=False))
        parts = [] if part is None else [split_column(part)]
        return ParsedRows(text, mapping, [*mapping.columns, *parts])

    def _canonical(
        self, events: ReadTable, nodes: Mapping[Owner, ReadTable], scoring: bool
    ) -> SourceTables:
        tables: dict[Owner, ReadTable] = {}
        for owner in (Owner.CUSTOMER, Owner.VARIANT):
            mapping = self._node_tables().get(owner)
            if mapping is None:
                columns = self._mapping.events.columns_of(owner)
                table, counts = nodes_of_events(events.table, owner, columns), {}
                if not scoring:
                    differing = num_differing(events.table, owner, columns)
                    counts[f"{owner}s_with_differing_rows"] = differing
                tables[owner] = ReadTable(with_texts(table), counts=counts)
            elif owner in nodes:
                tables[owner] = nodes[owner]
            else:
                nothing = with_texts(events.table.slice(0, 0))
                key_type = nothing.schema.field(f"{owner}_key").type
                tables[owner] = ReadTable(empty_nodes(mapping, owner, key_type))
        read = [events, *tables.values()]
        return SourceTables(
            events=with_texts(event_table(events.table, self._mapping.events)),
            customers=tables[Owner.CUSTOMER].table,
            variants=tables[Owner.VARIANT].table,
            rejects=pa.concat_tables([each.rejects for each in read]),
            counts={name: number for each in read for name, number in each.counts.items()},
        )

    def _node_tables(self) -> dict[Owner, TableMapping]:
        tables = {Owner.CUSTOMER: self._mapping.customers, Owner.VARIANT: self._mapping.variants}
        return {owner: table for owner, table in tables.items() if table is not None}

    def _located(self, base: Path) -> dict[Owner, Path]:
        """Path of each table's file; a base that is no folder is the events file itself."""
        folder = base if base.is_dir() else base.parent
        events = base / self._mapping.events.file if base.is_dir() else base
        nodes = {owner: folder / table.file for owner, table in self._node_tables().items()}
        return {Owner.ORDER: events, **nodes}


def _read_nodes(path: Path, mapping: TableMapping, owner: Owner, *, scoring: bool) -> ReadTable:
    text = read_text_rows(path, mapping, _selection(mapping, None, scoring))
    rows = ParsedRows(text, mapping, mapping.columns)
    rows.check_columns()
    table = node_table(rows, owner)
    if not scoring:
        rows.check_any_left()
    return ReadTable(table, rows.rejects(), rows.counts())


def _unlabelled(rows: ParsedRows) -> ReadTable:
    flat = flat_events(rows, None, scoring=True)
    return ReadTable(_to_score(flat), rows.rejects(), rows.counts())


def _to_score(flat: pa.Table) -> pa.Table:
    return with_split(flat, pa.chunked_array([pa.repeat("test", flat.num_rows)]))


def _selection(mapping: TableMapping, part: str | None, scoring: bool) -> Selection:
    def of_role(*roles: Role) -> list[str]:
        return [column.source for column in mapping.columns if column.role in roles]

    unknown = [*of_role(Role.AFTER), *_given(mapping.returned, part)] if scoring else []
    optional = of_role(Role.AGGREGATE) if scoring else []
    sources = [column.source for column in mapping.columns] + _given(part)
    return Selection(
        required=[source for source in sources if source not in (*unknown, *optional)],
        optional=optional,
        ignored=[*mapping.ignored, *unknown],
        others_allowed=scoring or mapping.ignore_unmentioned,
    )


def _given(*names: str | None) -> list[str]:
    return [name for name in names if name is not None]


@contextmanager
def _collecting(faults: list[Fault]) -> Iterator[None]:
    """Keep the faults of an input and go on to the next one."""
    try:
        yield
    except InputError as error:
        faults.extend(error.faults)
