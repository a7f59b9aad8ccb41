"""Score order lines with a trained model.

Reads events in the format of the source that the model was trained on (a label column is ignored)
and writes `row_id`, `probability` and `decision` for each, with its main reasons if wanted.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from data.sources.registry import reader
from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.allocation import give_freed_memory_back
from pipelines.command import run_command
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display
from pipelines.score_files import SUFFIXES, score_file
from returns.predictor import ReturnPredictor
from returns.reasons.contributions import Explainable
from returns.resident.predictor import ResidentPredictor

ROWS_AT_ONCE = 1 << 15
"""Order lines scored at a time where nothing else is said."""


@dataclass(frozen=True)
class Arguments:
    """Options of `predict`."""

    model: str
    """MLflow model URI: runs:/RUN_ID/model, models:/m-ID, models:/returns@champion, or a folder."""
    events: Path
    """Events to score, in the source's own format. GraphReturns: an event table; node tables of
    the same half beside it are used."""
    out: Path
    """Where to write the scores: .parquet or .csv. Rows that cannot be scored go beside it."""
    reasons: int = 0
    """Main reasons to write beside each score, at most so many: what it is, its value for the
    order line, and what it adds to the log-odds (JSON text in a .csv; see docs/reasons.md)."""
    rows_at_once: int = ROWS_AT_ONCE
    """Order lines whose features and neighbours are held at a time: more take more memory and
    hardly less time. No score depends on it."""
    home: Path = Path("artifacts")
    """Folder of all state: MLflow database and artifacts."""


@dataclass(frozen=True)
class Scored:
    """What became of the events of a file.

    Attributes:
        num_scored: Events that were scored.
        num_returned: Events among them that were decided as returned.
        rejects: Rows set aside, schema `data.schema.REJECTS`.
    """

    num_scored: int
    num_returned: int
    rejects: pa.Table


def main(arguments: Arguments, console: Console) -> None:
    """Score and write."""
    _check(arguments)
    tracking.connect(Home.prepare(arguments.home))
    with progress_display(console) as progress:
        reporter = ProgressReporter(progress)
        reporter.progress("load model", 0, 1)
        predictor = tracking.load_predictor(arguments.model)
        if arguments.reasons and not isinstance(predictor.model, Explainable):
            message = f"the model '{predictor.model.name}' gives no reasons"
            raise InputError([Fault("--reasons", message, "Leave it out, or use another model")])
        reporter.progress("load model", 1, 1)
        scored = score_events(
            predictor,
            arguments.events,
            arguments.out,
            arguments.rows_at_once,
            arguments.reasons,
            reporter,
        )
    console.print(
        f"{scored.num_scored:,} events scored, {scored.num_returned:,} decided as returned "
        f"(probability at least {predictor.calibration.threshold:.4f}): {arguments.out}",
        soft_wrap=True,
    )
    if scored.rejects.num_rows:
        path = arguments.out.with_name(f"{arguments.out.stem}.rejects.parquet")
        with score_file(path) as file:
            file.write(scored.rejects)
        console.print(f"{scored.rejects.num_rows:,} rows set aside: {path}", soft_wrap=True)


def score_events(
    predictor: ReturnPredictor,
    events: Path,
    out: Path,
    rows_at_once: int,
    reasons: int,
    reporter: ProgressReporter,
) -> Scored:
    """Read the events, and write the scores of some at a time.

    Args:
        predictor: Scores them.
        events: The file of them, in the source's own format.
        out: Where to write the scores, whole or not at all.
        rows_at_once: Events scored at a time.
        reasons: Main reasons wanted of each event at most.
        reporter: Told of progress.

    Raises:
        InputError: The events cannot be used.
    """
    reporter.progress("read events", 0, 1)
    new = reader(predictor.source, predictor.options).read_new_events(events)
    reporter.progress("read events", 1, 1)
    reporter.progress("prepare the past", 0, 1)
    resident = ResidentPredictor.of(predictor)
    reporter.progress("prepare the past", 1, 1)
    num_events, num_returned = new.events.num_rows, 0
    reporter.progress("score", 0, num_events, unit="rows")
    with score_file(out) as file:
        for scores in resident.score_in_portions(new, rows_at_once, reasons):
            file.write(scores)
            num_returned += int(pc.sum(scores["decision"]).as_py() or 0)
            reporter.progress("score", file.num_rows, num_events, unit="rows")
            # Else gaps between what is still needed pile up, as large as all that was freed.
            give_freed_memory_back()
    return Scored(file.num_rows, num_returned, new.rejects)


def _check(arguments: Arguments) -> None:
    faults = []
    if not arguments.events.exists():
        faults.append(Fault(str(arguments.events), "there is no such file", "Check --events"))
    if arguments.out.suffix not in SUFFIXES:
        message = f"'{arguments.out.suffix}' is no format of scores"
        faults.append(Fault(str(arguments.out), message, f"Use {' or '.join(SUFFIXES)}"))
    if arguments.out.resolve() == arguments.events.resolve():
        faults.append(Fault(str(arguments.out), "would overwrite the events", "Name another --out"))
    for option, number, fewest in (
        ("--reasons", arguments.reasons, 0),
        ("--rows-at-once", arguments.rows_at_once, 1),
    ):
        if number < fewest:
            faults.append(Fault(option, f"{number} is too few", f"Use {fewest} or more"))
    if faults:
        raise InputError(faults)


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
