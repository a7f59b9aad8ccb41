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
from data.sources.mapped.description import FileFormat, TableMapping
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

    def __init__(self, path: str, table: TableMapping, folder: Path) -> None:
        """Read the order lines as they are; lines without a readable date are left out.

        Args:
            path: File, folder or pattern of order lines.
            table: Names the column of the date.
            folder: Of the weekly files; `incoming` holds those of the past, `upcoming` the next.

        Raises:
            InputError: There is no file, or it has no such column.
        """
        assert table.time is not None
        self.incoming, self._upcoming = folder / "incoming", folder / "upcoming"
        frames = [_as_text(file, table) for file in find_partitions(path)]
        if any(table.time not in frame for frame in frames):
            fault = Fault(path, "the column of the order date is missing", "Check --path")
            raise InputError([fault])
        self._lines = pd.concat(frames, ignore_index=True)
        form = table.column(table.time).date_format
        days = pd.to_datetime(self._lines[table.time], format=form, errors="coerce")
        self._day = days.dt.date
        self._delimiter = table.delimiter

    def reach(self, monday: date) -> None:
        """Let the weeks before a Monday lie there."""
        known = self._day[self._day < monday]
        first = known.min()
        week = first - timedelta(days=first.weekday())
        while week < monday:
            self._write(week, self.incoming / f"{week}.csv")
            week += WEEK

    def upcoming(self, monday: date) -> Path:
        """File of the week that begins on a Monday, which no cycle has seen yet."""
        path = self._upcoming / f"{monday}.csv"
        self._write(monday, path)
        return path

    def _write(self, monday: date, path: Path) -> None:
        lines = self._lines[(self._day >= monday) & (self._day < monday + WEEK)]
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


def _as_text(file: Path, table: TableMapping) -> pd.DataFrame:
    if (FileFormat.of_name(file.name) or table.format) is FileFormat.PARQUET:
        return pd.read_parquet(file).astype("string")
    return pd.read_csv(file, dtype=str, keep_default_na=False, sep=table.delimiter)
