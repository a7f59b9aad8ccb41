"""Bring purchase tables into a validated dataset directory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import tyro
from rich.console import Console
from rich.table import Table

from data.dataset import Manifest, ingest, read_manifest
from data.schema import SPLITS
from pipelines.command import run_command
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display
from pipelines.source_arguments import SourceArguments, SourceName, described

MOST_REASONS = 10
NODES = ("customer", "variant")
DAYS = ("train_from", "validation_from", "test_from", "last_day")
"""Counts of dated sources that are days."""


@dataclass(frozen=True)
class Arguments:
    """Options of `ingest`."""

    source: tyro.conf.Positional[SourceName]
    """twin (synthetic lookalike of GraphReturns), graphreturns (the real release), orders (dated
    order lines in the columns of the Data Mining Cup 2014), tables (your own, with a mapping)."""
    tables: SourceArguments = field(default_factory=SourceArguments)
    seed: int = 0
    """Seed of the synthetic twin."""
    home: Path = Path("artifacts")
    """Folder of all state: datasets, MLflow database and artifacts."""


def main(arguments: Arguments, console: Console) -> None:
    """Ingest and print what came of it."""
    home = Home.prepare(arguments.home)
    source = arguments.tables.build(arguments.source, arguments.seed, home)
    with progress_display(console) as progress:
        folder = ingest(source, home.datasets, ProgressReporter(progress))
    manifest = read_manifest(folder)
    print_counts(manifest, console)
    print_rejects(folder, console)
    console.print(f"dataset: {folder}", soft_wrap=True)


def print_counts(manifest: Manifest, console: Console) -> None:
    """Print rows per split, and everything that was found and handled."""
    counts = dict(manifest.counts)
    table = Table(title=f"{described(manifest.source)}: events")
    headings = ("split", "events", "labelled", "return rate", "no customer row", "no variant row")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "split" else "right")
    for split in SPLITS:
        number = counts.pop(f"events_{split}")
        labelled = counts.pop(f"labelled_{split}")
        counts.pop(f"returned_{split}")
        without = [counts.pop(f"events_without_{node}_row_{split}") for node in NODES]
        rate = manifest.return_rate(split)
        shown = f"{labelled:,}", "-" if rate is None else f"{rate:.4f}"
        table.add_row(split, f"{number:,}", *shown, *(f"{rows:,}" for rows in without))
    console.print(table)
    _print_remaining(counts, console)


def _print_remaining(counts: Mapping[str, int], console: Console) -> None:
    table = Table(title="rows, and what was found and handled")
    table.add_column("count of")
    table.add_column("number", justify="right")
    for name, number in counts.items():
        table.add_row(name.replace("_", " "), _day(number) if name in DAYS else f"{number:,}")
    console.print(table)


def _day(number: int) -> str:
    """The date that a manifest keeps as the number yyyymmdd."""
    return f"{number // 10_000}-{number // 100 % 100:02}-{number % 100:02}"


def print_rejects(folder: Path, console: Console) -> None:
    """Print how many rows were set aside for which reason."""
    rejects = pq.read_table(folder / "rejects.parquet")
    if not rejects.num_rows:
        return
    table = Table(title=f"rows set aside: {folder / 'rejects.parquet'}")
    for heading in ("file", "reason", "rows"):
        table.add_column(heading)
    reasons = rejects.group_by(["file", "reason"]).aggregate([("row", "count")])
    ordered = reasons.take(pc.sort_indices(reasons, [("row_count", "descending")]))
    for row in ordered.slice(0, MOST_REASONS).to_pylist():
        table.add_row(row["file"], row["reason"], f"{row['row_count']:,}")
    console.print(table)


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
