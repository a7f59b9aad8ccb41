"""Score order lines with a trained model.

Reads events in the format of the source that the model was trained on (a label column is ignored)
and writes `row_id`, `probability` and `decision` for each, with its main reasons if wanted.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rich.console import Console

from data.files import atomic_file
from data.sources.registry import reader
from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.command import run_command
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display
from returns.reasons.contributions import Explainable

SUFFIXES = (".parquet", ".csv")


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
    home: Path = Path("artifacts")
    """Folder of all state: MLflow database and artifacts."""


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
        reporter.progress("read events", 0, 1)
        new = reader(predictor.source, predictor.options).read_new_events(arguments.events)
        reporter.progress("read events", 1, 1)
        reporter.progress("score", 0, 1)
        scores = predictor.score(new, arguments.reasons)
        reporter.progress("score", 1, 1)
    write_table(scores, arguments.out)
    decided = int(pa.compute.sum(scores["decision"]).as_py() or 0)
    threshold = predictor.calibration.threshold
    console.print(
        f"{scores.num_rows:,} events scored, {decided:,} decided as returned "
        f"(probability at least {threshold:.4f}): {arguments.out}",
        soft_wrap=True,
    )
    if new.rejects.num_rows:
        rejects = arguments.out.with_name(f"{arguments.out.stem}.rejects.parquet")
        write_table(new.rejects, rejects)
        console.print(f"{new.rejects.num_rows:,} rows set aside: {rejects}", soft_wrap=True)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet or CSV, whole or not at all."""
    with atomic_file(path) as partial:
        if path.suffix == ".csv":
            pa_csv.write_csv(_flat(table), partial)
        else:
            pq.write_table(table, partial)


def _flat(table: pa.Table) -> pa.Table:
    """The table with lists as JSON text, which is all that CSV has for them."""
    for place, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            texts = [json.dumps(value, ensure_ascii=False) for value in table[place].to_pylist()]
            table = table.set_column(place, field.name, pa.array(texts, pa.string()))
    return table


def _check(arguments: Arguments) -> None:
    faults = []
    if not arguments.events.exists():
        faults.append(Fault(str(arguments.events), "there is no such file", "Check --events"))
    if arguments.out.suffix not in SUFFIXES:
        message = f"'{arguments.out.suffix}' is no format of scores"
        faults.append(Fault(str(arguments.out), message, f"Use {' or '.join(SUFFIXES)}"))
    if arguments.out.resolve() == arguments.events.resolve():
        faults.append(Fault(str(arguments.out), "would overwrite the events", "Name another --out"))
    if arguments.reasons < 0:
        faults.append(Fault("--reasons", f"{arguments.reasons} is too few", "Use 0 or more"))
    if faults:
        raise InputError(faults)


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
