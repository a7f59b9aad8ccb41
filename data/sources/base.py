"""The contract between a source and the dataset directory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from data.reporter import Reporter
from data.schema import REJECTS

Options = Mapping[str, str | int | float | bool | list[str] | dict[str, object] | None]
"""What shaped the reading of a source, as JSON values; part of a dataset's digest."""


def no_rejects() -> pa.Table:
    """An empty table of rejects."""
    return REJECTS.empty_table()


@dataclass(frozen=True)
class SourceTables:
    """The canonical tables with the source's original keys, before they are indexed.

    Attributes:
        events: `data.schema.source_event_columns`, then optionally `time`, `basket_key` and any
            columns with role `order`, `attribute` or `after`. Row order is the files' order.
        customers: `customer_key`, optionally `period`, then `profile`, `attribute` and
            `aggregate` columns. One row per `customer_key` (and `period`, if present).
        variants: `variant_key`, optionally `period`, then `catalogue`, `attribute` and
            `aggregate` columns. One row per `variant_key` (and `period`, if present).
        rejects: Rows set aside, schema `data.schema.REJECTS`.
        counts: What was found and handled, e.g. `{"duplicate_events": 17}`.
        period_of_split: Which `period` of the node tables belongs to an event's split; empty
            where node tables have no `period`.
        missing_rows_leak: Node tables (`customers`, `variants`) whose missing rows tell of the
            outcome, because the table was selected on it.
        true_probability: Each event's true return probability, float64, if the source is
            synthetic; kept apart from what models read.
    """

    events: pa.Table
    customers: pa.Table
    variants: pa.Table
    rejects: pa.Table = field(default_factory=no_rejects)
    counts: Mapping[str, int] = field(default_factory=dict)
    period_of_split: Mapping[str, str] = field(default_factory=dict)
    missing_rows_leak: Sequence[str] = ()
    true_probability: pa.Array | None = None


class Source(Protocol):
    """Something that can be read into the canonical tables."""

    @property
    def name(self) -> str:
        """Name on the command line."""

    @property
    def options(self) -> Options:
        """What shapes the reading, as JSON values; the source can be rebuilt from it."""

    def files(self, reporter: Reporter) -> Sequence[Path]:
        """The input files, generated or downloaded first where that is the source's way.

        Raises:
            InputError: A file is missing or cannot be had.
        """

    def read(self, reporter: Reporter) -> SourceTables:
        """Read and validate the files.

        Raises:
            InputError: A file cannot be used; carries all faults of all files.
        """

    def read_new_events(self, path: Path) -> SourceTables:
        """Read events to score, in the source's own format; a label column is ignored if present.

        `returned` is null and `split` is `test` for every row. Node tables hold what came with
        the events, possibly no rows. Rows that cannot be scored are in `rejects`.

        Args:
            path: The events file, or a folder where the source's format is one.

        Raises:
            InputError: The file cannot be used.
        """
