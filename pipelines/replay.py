"""Replay weekly retraining on order lines of the past: what was promoted, and was it worth it?

On each Monday the order lines until then lie there in weekly files, `retrain` runs with that day
for today, and the champion scores the orders of the week to come. Their labels, which nobody knew
then, tell afterwards what the champion was worth, and what the first one would have been, had it
never been replaced.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from data.files import atomic_file, digest_file
from data.partitions import find_partitions
from data.sources.tables import Tables
from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.command import run_command
from pipelines.exclusive import exclusive
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display
from pipelines.retraining.cycle import Cycle
from pipelines.retraining.deciding import PROMOTED, Findings
from pipelines.retraining.incoming import cycle_key
from pipelines.retraining.journal import Journal
from pipelines.retraining.replaying import ReplayedWeek, WeeklyFiles, mondays, replayed_week
from pipelines.retraining.settings import Settings
from pipelines.retraining.state import LastCycle
from returns.drift_plots import drift_over_time, losses_over_time
from returns.evaluation import Estimate, paired_difference
from returns.protocol import Protocol

REPLICATES = 1000


@dataclass(frozen=True)
class Arguments:
    """Options of `replay`."""

    first_day: tyro.conf.Positional[datetime.date]
    """The first cycle runs on the Monday of this day, or the next one."""
    last_day: tyro.conf.Positional[datetime.date]
    """The last cycle runs on the Monday of this day, or the one before."""
    settings: Settings = field(default_factory=Settings)
    home: Path = Path("artifacts/replay")
    """Folder of all state, with a registry of its own: a replay must not touch what serves."""


def main(arguments: Arguments, console: Console) -> None:
    """Go through the weeks; those that are done are not done again."""
    arguments.settings.check()
    tables = arguments.settings.tables()
    weeks = mondays(arguments.first_day, arguments.last_day)
    home = Home.prepare(arguments.home)
    home.retraining.mkdir(exist_ok=True)
    folder = home.root / "weeks"
    assert arguments.settings.path is not None
    files = WeeklyFiles(arguments.settings.path, tables, folder)
    settings = replace(arguments.settings, path=str(files.incoming))
    journal = Journal(folder / "replayed")
    with exclusive(home.retraining / "lock"), tracking.available():
        _claim(home, folder, _replay_key(arguments.settings, tables, weeks[0]))
        tracking.connect(home)
        with progress_display(console) as progress:
            whole = ProgressReporter(progress)
            for done, monday in enumerate(weeks):
                whole.progress("weeks", done, len(weeks))
                files.reach(monday)
                upcoming = files.upcoming(monday)
                if not upcoming.exists():
                    fault = Fault("--last-day", f"no orders from {monday} on", "Give an earlier")
                    raise InputError([fault])

                cycle = Cycle(
                    settings, home, monday, LastCycle.read(home), lambda: ProgressReporter(progress)
                )
                kept = folder / "scores" / f"{monday}.parquet"
                journal.stage(
                    str(monday),
                    partial(_replayed, cycle, home, monday, upcoming, tables, kept),
                )
            whole.progress("weeks", len(weeks), len(weeks))
        replayed = [ReplayedWeek.from_json(journal.result(str(monday)) or {}) for monday in weeks]
        worth = _worth(folder / "scores", weeks, settings.seed)
        report = replay_report(replayed, worth)
        with atomic_file(home.root / "replay.md") as partial_file:
            partial_file.write_text(report)
        _record(settings, replayed, report, home)
    _print(replayed, worth, console)
    console.print(f"report: {home.root / 'replay.md'}", soft_wrap=True)
    console.print(f"compare in the MLflow UI: {tracking.ui_command(home)}", soft_wrap=True)


def replay_report(weeks: Sequence[ReplayedWeek], worth: Estimate) -> str:
    """The replay in Markdown: a row per week, what it was worth, why each decision was made.

    Args:
        weeks: In order of time.
        worth: Cross-entropy of what was served less that of the first champion, over all weeks.
    """
    header = "| Monday | decision | served | difference on the test (95 %) | moved most | orders "
    header += "| came back | served | first champion |"
    lines = [header, "|---|---|---:|---:|---|---:|---:|---:|---:|"]
    for week in weeks:
        moved = ", ".join(list(week.moved)[:3]) or "nothing"
        interval = f"{week.difference:+.4f} ({week.low:+.4f} to {week.high:+.4f})"
        lines.append(
            f"| {week.monday} | {week.decision} | version {week.served} | {interval} | {moved} "
            f"| {week.num_orders:,} | {week.base_rate:.3f} | {week.served_loss:.4f} "
            f"| {week.first_loss:.4f} |"
        )
    lines += [
        "",
        f"What was served, less the first champion, over all weeks: {_spoken(worth)}.",
        "",
    ]
    lines += [f"- {week.monday}, {week.decision}: {'; '.join(week.reasons)}" for week in weeks]
    return "\n".join(lines) + "\n"


def _replay_key(settings: Settings, tables: Tables, first: datetime.date) -> dict[str, str]:
    """What the weeks of a replay depend on; a later last day only adds weeks."""
    assert settings.path is not None
    files = [digest_file(file).sha256 for file in find_partitions(settings.path)]
    key = cycle_key(settings, tables, files)
    return {"first_monday": first.isoformat(), "order_lines_and_options": key}


def _claim(home: Home, folder: Path, key: dict[str, str]) -> None:
    """Take the home for one replay: of another one neither files nor results must be mixed in.

    Args:
        home: The home.
        folder: Of the weeks in it.
        key: What the weeks depend on.

    Raises:
        InputError: The home holds the weeks of another replay, or of one that left no key.
    """
    journal = Journal(folder)
    is_empty = not any(folder.glob("[!.]*"))
    known = journal.stage("key", lambda: key) if is_empty else journal.result("key")
    if known != key:
        message = "this home holds another replay: of other order lines, options or first Monday"
        raise InputError([Fault(str(home.root), message, "Name another --home, or remove it")])


def _replayed(
    cycle: Cycle, home: Home, monday: datetime.date, upcoming: Path, tables: Tables, kept: Path
) -> dict[str, Any]:
    """Run a cycle, unless it ran before, and score the week after it."""
    findings = cycle.run().findings
    if findings is None:
        last = LastCycle.read(home)
        assert last is not None and last.findings is not None
        findings = Findings.from_json(last.findings)
    return replayed_week(monday, findings, upcoming, tables, kept).to_json()


def _worth(folder: Path, weeks: Sequence[datetime.date], seed: int) -> Estimate:
    """Cross-entropy of what was served less that of the first champion, over all weeks."""
    scores = pa.concat_tables([pq.read_table(folder / f"{monday}.parquet") for monday in weeks])
    customers = pd.factorize(scores["customer"].to_pandas())[0]
    first, second = ((scores[name].to_numpy(), 0.5) for name in ("served", "first"))
    labels = scores["returned"].to_numpy()
    difference = paired_difference(
        labels, customers, first, second, seed=seed, replicates=REPLICATES
    )
    return difference["cross_entropy"]


def _record(settings: Settings, weeks: Sequence[ReplayedWeek], report: str, home: Home) -> None:
    """Log report and figures as a run; the figures lie in the home too."""
    days = [datetime.date.fromisoformat(week.monday) for week in weeks]
    columns = dict.fromkeys(name for week in weeks for name in week.psi)
    psi = {name: [week.psi.get(name, np.nan) for week in weeks] for name in columns}
    losses = {
        "served": [week.served_loss for week in weeks],
        "first champion, never replaced": [week.first_loss for week in weeks],
    }
    promotions = [day for day, week in zip(days, weeks, strict=True) if week.decision == PROMOTED]
    place = (Protocol.STRICT, settings.source)
    figures = {
        "drift_over_time": drift_over_time(psi, days, *place),
        "losses_over_time": losses_over_time(losses, days, promotions[1:], *place),
    }
    tags = {"protocol": place[0].value, "source": settings.source}
    with tracking.run(f"replay {days[0]} to {days[-1]}", settings.identity(), tags):
        tracking.set_note(report)
        tracking.log_figures(figures)
    for name, figure in figures.items():
        figure.savefig(home.root / f"{name}.png")


def _print(weeks: Sequence[ReplayedWeek], worth: Estimate, console: Console) -> None:
    printed = Table(title="weekly retraining, replayed", box=SIMPLE_HEAD)
    for heading in ("Monday", "decision", "difference on the test", "served", "first champion"):
        printed.add_column(heading, justify="left" if heading == "Monday" else "right")
    for week in weeks:
        printed.add_row(
            week.monday,
            week.decision,
            f"{week.difference:+.4f}",
            f"{week.served_loss:.4f}",
            f"{week.first_loss:.4f}",
        )
    console.print(printed)
    console.print(f"served less first champion, over all weeks: {_spoken(worth)}")


def _spoken(worth: Estimate) -> str:
    return f"cross-entropy {worth.value:+.4f} ({worth.low:+.4f} to {worth.high:+.4f})"


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
