"""Retrain on new order lines, and replace the champion only by a model that is better.

Reads what is new, checks it, measures drift, trains, compares the challenger with the champion on
the latest orders whose labels are known, promotes or keeps, and records all of it in MLflow. The
same order lines again: nothing to do. Killed anywhere, it goes on where it was. Exit code 75: not
possible now, run it again later.
"""

import datetime
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from data.validation import Fault, InputError
from pipelines import registry, tracking
from pipelines.command import NotNowError, run_command
from pipelines.command_words import command_words
from pipelines.exclusive import BusyError, exclusive
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display
from pipelines.registry import UnservableError
from pipelines.retraining.crontab import cron_trigger
from pipelines.retraining.cycle import Cycle, CycleResult
from pipelines.retraining.deciding import Findings
from pipelines.retraining.schedule import Schedule
from pipelines.retraining.settings import Settings
from pipelines.retraining.state import LastCycle, check_database, check_registry

PRINTED = {
    "cross_entropy": "cross-entropy",
    "ece": "ECE",
    "brier": "Brier",
    "roc_auc": "ROC AUC",
    "f1_at_threshold": "F1 at threshold",
}


@dataclass(frozen=True)
class Arguments:
    """Options of `retrain`."""

    settings: Settings = field(default_factory=Settings)
    today: datetime.date | None = None
    """Day to take for today, e.g. to repeat what was missed (default: the clock's)."""
    dry_run: bool = False
    """Read, check, train and compare, but log, register and promote nothing. What was trained is
    kept for the run to come."""
    rollback: bool = False
    """Make the champion's predecessor champion again, and nothing else."""
    schedule: str | None = None
    """Stay in the foreground and retrain at these times, five fields as in a crontab, until told to
    stop: "0 3 * * 1" is Mondays at 3. A run that was missed is made up for."""
    time_zone: str | None = None
    """Time zone of the schedule, such as Europe/Berlin (default: the machine's)."""
    home: Path = Path("artifacts")
    """Folder of all state: datasets, MLflow database and artifacts."""


def main(arguments: Arguments, console: Console) -> None:
    """Run one cycle, or roll back; one process of a home at a time. Or keep to a schedule."""
    if not arguments.rollback:
        arguments.settings.check()
    _check(arguments)
    home = Home.prepare(arguments.home)
    home.retraining.mkdir(exist_ok=True)
    if arguments.schedule is not None:
        _keep_schedule(arguments, arguments.schedule, home, console)
        return
    try:
        with exclusive(home.retraining / "lock"), tracking.available():
            last = LastCycle.read(home)
            check_database(home, last)
            tracking.connect(home)
            check_registry(home, last)
            if arguments.rollback:
                _roll_back(console)
            else:
                _retrain(arguments, home, last, console)
    except BusyError as error:
        raise NotNowError("another retraining of this home is under way") from error


def _check(arguments: Arguments) -> None:
    faults = []
    if arguments.rollback and arguments.schedule is not None:
        message = "a schedule of rollbacks makes no sense"
        faults.append(Fault("--rollback", message, "Give one of --rollback and --schedule"))
    if arguments.today is not None and arguments.schedule is not None:
        message = "a schedule goes by the clock"
        faults.append(Fault("--today", message, "Give one of --today and --schedule"))
    if arguments.time_zone is not None and arguments.schedule is None:
        message = "it is the time zone of a schedule"
        faults.append(Fault("--time-zone", message, "Give --schedule, or leave it out"))
    if faults:
        raise InputError(faults)


def _keep_schedule(arguments: Arguments, expression: str, home: Home, console: Console) -> None:
    """Run cycles at the times of a crontab line, each in a process of its own."""
    trigger = cron_trigger(expression, arguments.time_zone)
    once = replace(arguments, schedule=None, time_zone=None)
    command = [sys.executable, "-m", "pipelines.retrain", *command_words(once)]

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    last = LastCycle.read(home)
    finished = None if last is None else datetime.datetime.fromisoformat(last.finished_at)
    Schedule(trigger, command, say).serve(finished)


def _roll_back(console: Console) -> None:
    try:
        before, after = registry.rollback()
    except UnservableError as error:
        remedy = "Restore its files, or set the alias `champion` by hand in the MLflow UI"
        raise InputError([Fault("--rollback", str(error), remedy)]) from error
    console.print(f"{after.uri} is champion again, {before.uri} is not")


def _retrain(arguments: Arguments, home: Home, last: LastCycle | None, console: Console) -> None:
    today = arguments.today or datetime.date.today()
    if last is not None:
        last.check_clock(today)
    with progress_display(console) as progress:
        cycle = Cycle(
            arguments.settings,
            home,
            today,
            last,
            lambda: ProgressReporter(progress),
            arguments.dry_run,
        )
        result = cycle.run()
    _print(result, arguments.dry_run, console)
    console.print(f"compare in the MLflow UI: {tracking.ui_command(home)}", soft_wrap=True)


def _print(result: CycleResult, dry_run: bool, console: Console) -> None:
    if result.restored is not None:
        console.print(f"the champion could not serve: {result.restored}", soft_wrap=True)
    if result.findings is not None:
        console.print(_comparison(result.findings))
        moved = [f"{name} {how}" for name, how in result.findings.moved.items()]
        console.print(f"moved: {', '.join(moved) or 'nothing'}", markup=False, soft_wrap=True)
    verdict = result.decision
    if dry_run and result.findings is not None:
        verdict = f"dry run, would be {verdict}"
    version = "" if result.version is None else f" (version {result.version})"
    console.print(f"{verdict}{version}: {'; '.join(result.reasons)}", markup=False, soft_wrap=True)


def _comparison(findings: Findings) -> Table:
    against = "base rate" if findings.champion is None else f"version {findings.champion}"
    printed = Table(title=f"{findings.challenger} against {against}", box=SIMPLE_HEAD)
    for heading in ("metric", "challenger", against, "difference", "95 %"):
        printed.add_column(heading, justify="left" if heading == "metric" else "right")
    overall = findings.comparison[findings.comparison["slice"] == "all"]
    for row in overall.to_dict("records"):
        printed.add_row(
            PRINTED[row["metric"]],
            f"{row['challenger']:.4f}",
            f"{row['champion']:.4f}",
            f"{row['difference']:+.4f}",
            f"{row['low']:+.4f} to {row['high']:+.4f}",
        )
    return printed


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
