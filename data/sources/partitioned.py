"""Source of dated order lines that arrive in many files, some of whose labels are not known yet."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.partitions import Partition
from data.reporter import Reporter
from data.sources.base import Options, SourceTables
from data.sources.mapped.keys import codes
from data.sources.tables import ReadTable, Tables
from data.sources.timesplit import SplitDays, split_by_time
from data.validation import Fault, InputError


@dataclass(frozen=True)
class Window:
    """Where the parts begin, and which labels are known.

    Attributes:
        validation_from: First day of validation; all days before are train.
        test_from: First day of the test.
        labelled_until: First day whose orders may still be returned: their labels are unknown,
            whatever the files say. These orders stand in the test part.
    """

    validation_from: date
    test_from: date
    labelled_until: date

    @classmethod
    def before(
        cls, today: date, label_delay_days: int, validation_days: int, test_days: int
    ) -> Self:
        """The latest parts whose labels are known.

        Args:
            today: The day it is.
            label_delay_days: Days that an order may be returned in.
            validation_days: Days of validation.
            test_days: Labelled days of the test.
        """
        labelled_until = today - timedelta(days=label_delay_days)
        test_from = labelled_until - timedelta(days=test_days)
        return cls(test_from - timedelta(days=validation_days), test_from, labelled_until)

    def as_json(self) -> dict[str, str]:
        """The days as ISO 8601."""
        return {
            "validation_from": self.validation_from.isoformat(),
            "test_from": self.test_from.isoformat(),
            "labelled_until": self.labelled_until.isoformat(),
        }

    @classmethod
    def from_json(cls, content: dict[str, str]) -> Self:
        """The window that `as_json` wrote."""
        return cls(**{name: date.fromisoformat(day) for name, day in content.items()})


class Partitioned:
    """Source of order lines that are kept file by file.

    Where several files have a row of the same key, the row of the last one stands: a later export
    corrects an earlier one.
    """

    def __init__(
        self, name: str, tables: Tables, partitions: Sequence[Partition], window: Window
    ) -> None:
        """Describe the source; no rows are read yet.

        Args:
            name: Of the source whose format the files have.
            tables: Reads node tables, and knows the columns.
            partitions: The files, later ones correcting earlier ones.
            window: Where the parts begin.
        """
        self._name, self._tables = name, tables
        self._partitions, self._window = partitions, window

    @property
    def name(self) -> str:
        """Name of the source whose format the files have."""
        return self._name

    @property
    def options(self) -> Options:
        """The mapping, the window, and the files in their order, as JSON values."""
        return {
            **self._tables.options,
            **self._window.as_json(),
            "partitions": [f"{each.sha256} {each.name}" for each in self._partitions],
        }

    def files(self, reporter: Reporter) -> list[Path]:
        """The kept rows of each file, and the node tables."""
        return [*(each.kept for each in self._partitions), *self._tables.node_files()]

    def read(self, reporter: Reporter) -> SourceTables:
        """Put the rows together, forget labels that are not final, part them.

        Raises:
            InputError: A part would be empty, or a node table cannot be used.
        """
        reporter.progress("join partitions", 0, 1)
        rows = pa.concat_tables(
            [partition.rows().replace_schema_metadata() for partition in self._partitions]
        )
        latest = _last_of_key(rows["row_id"])
        lines = self._without_open_labels(rows.take(pa.array(latest)))
        split = split_by_time(
            lines["time"], SplitDays(self._window.validation_from, self._window.test_from)
        )
        self._check_parts(lines["time"], split)
        rejects = pa.concat_tables([partition.rejects() for partition in self._partitions])
        found = Counter[str]()
        for partition in self._partitions:
            found.update(partition.counts)
        counts = {
            **found,
            "rows_corrected_by_later_files": rows.num_rows - len(latest),
            "events_without_label": lines["returned"].null_count,
            **self._days(lines["time"]),
        }
        tables = self._tables.assemble(ReadTable(lines, rejects, counts), split)
        reporter.progress("join partitions", 1, 1)
        return tables

    def read_new_events(self, path: Path) -> SourceTables:
        """Read order lines to score, see `data.sources.tables.Tables.read_new_events`.

        Raises:
            InputError: The file cannot be used.
        """
        return self._tables.read_new_events(path)

    def _without_open_labels(self, rows: pa.Table) -> pa.Table:
        is_open = pc.greater_equal(rows["time"], pa.scalar(self._window.labelled_until))
        label = pc.if_else(is_open, pa.scalar(None, pa.int8()), rows["returned"])
        place = rows.column_names.index("returned")
        return rows.set_column(place, rows.schema.field("returned"), label)

    def _check_parts(self, time: pa.ChunkedArray, split: pa.ChunkedArray) -> None:
        found = set(pc.unique(split).to_pylist())
        empty = [part for part in ("train", "validation", "test") if part not in found]
        if empty:
            extent = pc.min_max(time).as_py()
            days = "".join(f"; {name} {day}" for name, day in self._window.as_json().items())
            period = f"{extent['min']} to {extent['max']}"
            message = f"no order line would be {' or '.join(empty)}: orders are of {period}{days}"
            remedy = "Give more or newer order lines, shorter parts, or another day for today"
            raise InputError([Fault(self._name, message, remedy)])

    def _days(self, time: pa.ChunkedArray) -> dict[str, int]:
        extent = pc.min_max(time).as_py()
        days = {
            "train_from": extent["min"],
            "validation_from": self._window.validation_from,
            "test_from": self._window.test_from,
            "last_day": extent["max"],
        }
        return {name: int(day.strftime("%Y%m%d")) for name, day in days.items()}


def _last_of_key(key: pa.ChunkedArray) -> np.ndarray:
    """The last row of each key, in order of the rows; int64 `(num_keys,)`."""
    code = codes(key)
    last = np.empty(int(code.max(initial=-1)) + 1, dtype=np.int64)
    last[code] = np.arange(len(code))
    return np.sort(last)
