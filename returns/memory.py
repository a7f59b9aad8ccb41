"""What a deployed model remembers: events and node rows, to score new events against."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.dataset import Dataset, indexed
from data.schema import Role, role_of
from data.sources.base import SourceTables
from returns.knowledge import days
from returns.protocol import Protocol

PAST, NEW = "past", "new"
"""Periods of node rows that were remembered, and that came with the new events."""

INDICES = ("event", "customer", "variant", "customer_row", "variant_row", "basket")


@dataclass(frozen=True)
class Memory:
    """Events and node rows with their original keys.

    Attributes:
        tables: The remembered rows; every event has split `train`, node rows of sources with
            periods have period `past`.
        has_periods: Whether node tables are issued anew for each period, as in GraphReturns.
    """

    tables: SourceTables
    has_periods: bool

    @classmethod
    def of(cls, dataset: Dataset, protocol: Protocol) -> Self:
        """Remember what may inform new events.

        Of dated data all events: which of them are in the past is decided by the date of the
        events to be scored, and an order is known at once, its label later. Of undated data the
        labelled events of the training and validation parts, which come before the test part.

        Args:
            dataset: All events and node rows.
            protocol: Columns that it does not admit are forgotten.
        """
        splits = ("train", "validation") + (("test",) if dataset.is_dated else ())
        part = split_tables(dataset, splits, protocol)
        events = _with_constant(part.events, "split", "train")
        if not dataset.is_dated:
            events = events.filter(pc.is_valid(events["returned"]))
        has_periods = "period" in dataset.customers.column_names
        customers, variants = part.customers, part.variants
        if has_periods:
            customers = _with_constant(customers, "period", PAST)
            variants = _with_constant(variants, "period", PAST)
        return cls(
            replace(part, events=events, customers=customers, variants=variants), has_periods
        )

    def with_new(self, new: SourceTables) -> Dataset:
        """Put new events, as split `test`, beside the remembered ones, as split `train`.

        Dated events on or after the first new day are left out: whoever scores a month again
        scores it with what was known before.

        Args:
            new: Events to score, with the node rows that came with them.
        """
        past = self.tables.events
        if "time" in past.column_names and new.events.num_rows:
            first_day = int(days(new.events["time"]).min())
            past = past.filter(pa.array(days(past["time"]) < first_day))
        # Whatever labels came along are dropped: nothing that is scored can hear them.
        new_events = _with_constant(new.events, "returned", None)
        new_events = _with_constant(new_events, "split", "test")
        customers = self._nodes("customer_key", self.tables.customers, new.customers, new_events)
        variants = self._nodes("variant_key", self.tables.variants, new.variants, new_events)
        merged = SourceTables(
            events=_stack(past, new_events),
            customers=customers,
            variants=variants,
            period_of_split={"train": PAST, "test": NEW} if self.has_periods else {},
            missing_rows_leak=self.tables.missing_rows_leak,
        )
        return indexed(merged)

    def last(self, number: int) -> SourceTables:
        """The last remembered events, without node rows, to be scored again as new ones.

        Args:
            number: How many; all if there are fewer.
        """
        events = self.tables.events
        return replace(
            self.tables,
            events=events.slice(max(events.num_rows - number, 0)),
            customers=self.tables.customers.slice(0, 0),
            variants=self.tables.variants.slice(0, 0),
        )

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet."""
        for name in ("events", "customers", "variants"):
            table = getattr(self.tables, name)
            pq.write_table(table, folder / f"memory_{name}.parquet", compression="zstd")

    @classmethod
    def load(cls, folder: Path, missing_rows_leak: Iterable[str]) -> Self:
        """Read the tables that `save` wrote."""
        names = ("events", "customers", "variants")
        tables = {name: pq.read_table(folder / f"memory_{name}.parquet") for name in names}
        has_periods = "period" in tables["customers"].column_names
        return cls(SourceTables(**tables, missing_rows_leak=tuple(missing_rows_leak)), has_periods)

    def _nodes(self, key: str, past: pa.Table, new: pa.Table, new_events: pa.Table) -> pa.Table:
        """Node rows of the past and of the new events.

        Tables issued per period come whole: their rows stand for the new events, and the
        remembered ones only where no table came at all. Otherwise what is remembered of a key
        stands, as the first row does when a dataset is ingested.
        """
        if self.has_periods:
            if not new.num_rows:
                known = pc.is_in(past[key], value_set=pc.unique(new_events[key]))
                new = past.filter(known)
            return _stack(past, _with_constant(new, "period", NEW))
        known = pc.is_in(new[key], value_set=past[key].combine_chunks())
        if pc.all(known).as_py():
            return past
        return _stack(past, new.filter(pc.invert(known)).sort_by(key))


def split_tables(dataset: Dataset, splits: Iterable[str], protocol: Protocol) -> SourceTables:
    """The events of some splits and their node rows, as a source would hand them over.

    Args:
        dataset: All events and node rows.
        splits: Splits wanted.
        protocol: Columns of outcomes that it does not admit are left out.
    """
    mask = dataset.split_mask(*splits)
    events = dataset.events.filter(pa.array(mask))
    return SourceTables(
        events=_forget(events.drop_columns(_present(events, INDICES)), protocol),
        customers=_node_rows(dataset.customers, events["customer_row"], protocol),
        variants=_node_rows(dataset.variants, events["variant_row"], protocol),
        missing_rows_leak=dataset.missing_rows_leak,
    )


def _node_rows(table: pa.Table, rows: pa.ChunkedArray, protocol: Protocol) -> pa.Table:
    """The rows that events refer to, in table order."""
    used = np.unique(rows.drop_null().to_numpy())
    part = table.take(pa.array(used)).drop_columns(_present(table, INDICES))
    return _forget(part, protocol)


def _forget(table: pa.Table, protocol: Protocol) -> pa.Table:
    hidden = {Role.AFTER, Role.AGGREGATE} - protocol.feature_roles
    return table.drop_columns([field.name for field in table.schema if role_of(field) in hidden])


def _present(table: pa.Table, names: Iterable[str]) -> list[str]:
    return [name for name in names if name in table.column_names]


def _with_constant(table: pa.Table, name: str, value: str | None) -> pa.Table:
    field = table.schema.field(name)
    column = pa.repeat(pa.scalar(value, field.type), table.num_rows)
    return table.set_column(table.column_names.index(name), field, column)


def _stack(past: pa.Table, new: pa.Table) -> pa.Table:
    """The rows of both, in the columns of the past; what the new rows lack is null."""
    given = dict(zip(new.column_names, new.columns, strict=True))
    columns = [
        _of_type(given[field.name], field.type)
        if field.name in given
        else pa.nulls(new.num_rows, field.type)
        for field in past.schema
    ]
    return pa.concat_tables([past, pa.table(columns, schema=past.schema)])


def _of_type(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    """The column cast, unless it has the type: asking for that takes a tenth of a cast."""
    return column if column.type == type_ else column.cast(type_)
