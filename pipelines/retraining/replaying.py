"""Weeks of the past gone through again: a cycle each Monday, and what was served until the next."""

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.files import atomic_file
from data.partitions import find_partitions
from data.sources.mapped.csv_form import csv_form
from data.sources.mapped.rows import ParsedRows
from data.sources.tables import Tables
from data.validation import Fault, InputError
from pipelines import registry
from pipelines.registry import CHAMPION
from pipelines.retraining.champion import Champion
from pipelines.retraining.deciding import Findings
from returns.metrics import ScoredEvents
from returns.predictor import ReturnPredictor

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class ReplayedWeek:
    """What a Monday's cycle came to, and the week after it.

    Attributes:
        monday: Day of the cycle, ISO 8601.
        decision: `promoted` or `kept`.
        challenger: Name of the challenging model.
        served: Number of the version that served from then on.
        difference: Cross-entropy of the challenger less that of the champion (of the base rate,
            where there was none) on the test, in nats.
        low: Lower end of its 95 % interval.
        high: Upper end.
        reasons: Why.
        psi: Population stability index of each column.
        moved: Columns that moved more than noise, and how far.
        num_orders: Order lines of the week after.
        base_rate: Share of them that came back, as was known later.
        served_loss: Cross-entropy of the version that served on them, in nats.
        first_loss: Cross-entropy of the first champion on them, in nats.
    """

    monday: str
    decision: str
    challenger: str
    served: str
    difference: float
    low: float
    high: float
    reasons: tuple[str, ...]
    psi: dict[str, float]
    moved: dict[str, str]
    num_orders: int
    base_rate: float
    served_loss: float
    first_loss: float

    def to_json(self) -> dict[str, Any]:
        """The week as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ReplayedWeek":
        """The week that `to_json` wrote."""
        return cls(**{**content, "reasons": tuple(content["reasons"])})


class WeeklyFiles:
    """Order lines of the past, parted into files of weeks that begin on Mondays."""

    def __init__(self, path: str, tables: Tables, folder: Path) -> None:
        """Read the order lines as they are; lines without a readable date are left out.

        Args:
            path: File, folder or pattern of order lines.
            tables: Reads them.
            folder: Of the weekly files; `incoming` holds those of the past, `upcoming` the next.

        Raises:
            InputError: There is no file, or files cannot be used; carries the faults of all of
                them.
        """
        self.incoming, self._upcoming = folder / "incoming", folder / "upcoming"
        frames: list[pd.DataFrame] = []
        days: list[np.ndarray] = []
        faults: list[Fault] = []
        for file in find_partitions(path):
            try:
                frame, day = _dated_lines(file, tables)
            except InputError as error:
                faults += error.faults
            else:
                frames.append(frame)
                days.append(day)
        if faults:
            raise InputError(faults)
        self._lines = pd.concat(frames, ignore_index=True)
        self._day = np.concatenate(days)
        self._delimiter = tables.mapping.events.delimiter

    def reach(self, monday: date) -> None:
        """Let the weeks before a Monday lie there.

        Raises:
            InputError: There is none.
        """
        first: date = self._day.min().item()
        week = first - timedelta(days=first.weekday())
        if week >= monday:
            message = f"there are no orders before {monday}, the first are of {first}"
            raise InputError([Fault("--first-day", message, "Give a later one")])
        while week < monday:
            self._write(week, self.incoming / f"{week}.csv")
            week += WEEK

    def upcoming(self, monday: date) -> Path:
        """File of the week that begins on a Monday, which no cycle has seen yet."""
        path = self._upcoming / f"{monday}.csv"
        self._write(monday, path)
        return path

    def _write(self, monday: date, path: Path) -> None:
        first, last = np.datetime64(monday), np.datetime64(monday + WEEK)
        lines = self._lines[(self._day >= first) & (self._day < last)]
        if len(lines) and not path.exists():
            with atomic_file(path) as partial:
                lines.to_csv(partial, sep=self._delimiter, index=False)


def mondays(first: date, last: date) -> list[date]:
    """The Mondays from the first day to the last.

    Raises:
        InputError: There is none.
    """
    start = first + timedelta(days=-first.weekday() % 7)
    days = [start + WEEK * place for place in range(max((last - start).days // 7 + 1, 0))]
    if not days:
        message = f"there is no Monday from {first} to {last}"
        raise InputError([Fault("--first-day", message, "Give --last-day after --first-day")])
    return days


def score_week(
    path: Path, tables: Tables, served: ReturnPredictor, first: ReturnPredictor
) -> pa.Table:
    """What two models make of the orders of a week, beside what became of them.

    Args:
        path: Order lines of the week.
        tables: Reads them.
        served: The model that serves.
        first: The first one that served.

    Returns:
        `customer`, `returned`, `served` and `first` of each order line whose label came to be
        known.
    """
    new = tables.read_new_events(path)
    scores = [model.score(new) for model in (served, first)]
    lines = tables.read_order_lines(path).table
    known = lines.filter(pc.is_valid(lines["returned"]))
    rows = pc.index_in(known["row_id"], value_set=scores[0]["row_id"].combine_chunks())
    return pa.table(
        {
            "customer": pc.cast(known["customer_key"], pa.string()),
            "returned": known["returned"],
            "served": scores[0]["probability"].take(rows),
            "first": scores[1]["probability"].take(rows),
        }
    )


def replayed_week(
    monday: date, findings: Findings, path: Path, tables: Tables, kept: Path
) -> ReplayedWeek:
    """Score the week after a cycle, keep the scores, and sum up.

    Args:
        monday: Day of the cycle.
        findings: What it found.
        path: Order lines of the week after.
        tables: Reads them.
        kept: Parquet file of the scores, to be written.
    """
    version, first = registry.version_of(CHAMPION), registry.find("1")
    if version is None or first is None:
        message = "no model was good enough to serve: " + "; ".join(findings.reasons)
        raise InputError([Fault(str(monday), message, "Give a later --first-day")])
    served = Champion.load(version).predictor
    scores = score_week(path, tables, served, Champion.load(first).predictor)
    with atomic_file(kept) as partial:
        pq.write_table(scores, partial)
    labels = scores["returned"].to_numpy()
    losses = {
        name: ScoredEvents.of(labels, scores[name].to_numpy(), 0.5).losses["cross_entropy"].mean()
        for name in ("served", "first")
    }
    comparison = findings.comparison
    is_loss = (comparison["slice"] == "all") & (comparison["metric"] == "cross_entropy")
    (loss,) = comparison[is_loss].to_dict("records")
    return ReplayedWeek(
        monday=monday.isoformat(),
        decision=findings.decision,
        challenger=findings.challenger,
        served=version.number,
        difference=loss["difference"],
        low=loss["low"],
        high=loss["high"],
        reasons=findings.reasons,
        psi={name: drift.psi for name, drift in findings.drifts.items()},
        moved=findings.moved,
        num_orders=len(labels),
        base_rate=float(np.mean(labels)),
        served_loss=float(losses["served"]),
        first_loss=float(losses["first"]),
    )


def _dated_lines(file: Path, tables: Tables) -> tuple[pd.DataFrame, np.ndarray]:
    """The lines of a file as CSV would hold them, and the day of each, datetime64[D]."""
    table = tables.mapping.events
    assert table.time is not None
    time = table.column(table.time)
    rows = tables.order_lines_as_text(file)
    day = ParsedRows(rows, table, [time]).values[time.source]
    if day.null_count == len(day):
        message = f"not one of its values is a date of the format {time.date_format}"
        remedy = "Correct `date_format` in the mapping, or the file"
        raise InputError([Fault(rows.file, message, remedy, column=time.source)])
    is_dated = pc.is_valid(day)
    lines = csv_form(rows, table).filter(is_dated).to_pandas()
    return lines, day.filter(is_dated).to_numpy().astype("datetime64[D]")
