"""Measure what each part of the graph network is worth: take it out, train again, compare.

Every case is trained with several seeds on the training part and scored on the validation part, on
which nothing but the training's end was chosen. Each is compared with a reference on the same
events and seeds, with intervals over resampled customers. Predictions of every fit are kept: the
same command run again goes on where it was.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from data.dataset import ingest, open_dataset
from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.ablation_fits import AblationData, KeptFits, ScoredSplit
from pipelines.ablation_table import AblationTable, Measured
from pipelines.ablations import REFERENCE, Case, applicable_cases
from pipelines.command import run_command
from pipelines.exclusive import exclusive
from pipelines.home import Home
from pipelines.hyperparameter_file import read_hyperparameters
from pipelines.model_arguments import require_both_classes
from pipelines.progress import PartReporter, ProgressReporter, progress_display
from pipelines.source_arguments import SourceArguments, SourceName, described
from returns.plots import difference_forest
from returns.protocol import Protocol
from returns.seed_comparison import SeedComparison

FOLDER = "ablation"
"""Folder of MLflow artifacts."""

PRINTED = {
    "cross-entropy": "cross-\nentropy",
    "difference [95 %]": "difference\n[95 %]",
    "s.d. over seeds": "s.d. over\nseeds",
    "ROC AUC": "ROC\nAUC",
}
"""Columns of the table that fit a terminal: headings. The whole is written and goes to MLflow."""


@dataclass(frozen=True)
class Arguments:
    """Options of `ablate`."""

    source: SourceName = "twin"
    """twin (synthetic lookalike of GraphReturns), graphreturns (the real release), orders (dated
    order lines in the columns of the Data Mining Cup 2014), tables (your own, with a mapping)."""
    tables: SourceArguments = field(default_factory=SourceArguments)
    protocol: tyro.conf.EnumChoicesFromValues[Protocol] = Protocol.STRICT
    """strict: only what was known when the order was placed. paper: all columns of the release,
    those computed from outcomes included."""
    cases: tuple[str, ...] = ()
    """Cases to train (default: all that apply to the source); the reference is always among
    them."""
    reference: str = REFERENCE
    """The case that the others are compared with."""
    split: ScoredSplit = "validation"
    """What is scored. Choose on validation; test, scored as `train` does, is for a last report."""
    seeds: int = 5
    """Fits of each case, with as many seeds."""
    seed: int = 0
    """Seed of the synthetic twin, and first seed of the models."""
    epochs: int | None = None
    """Epochs of the neural models (default: each model's own)."""
    hyperparameters: Path | None = None
    """JSON file {model: {name: value}}, such as `tune` writes; what a case fixes comes before
    it."""
    label_delay_days: int = 0
    """Days after the order until its label is known (dated sources): labels younger than that
    inform no other order."""
    out: Path | None = None
    """Folder of the table and the plot, overwritten if they are there (default: beside the
    predictions under --home)."""
    home: Path = Path("artifacts")
    """Folder of all state: datasets, predictions, MLflow database and artifacts."""


def main(arguments: Arguments, console: Console) -> None:
    """Train every case with every seed, compare, record."""
    hyperparameters = _checked_hyperparameters(arguments)
    home = Home.prepare(arguments.home)
    source = arguments.tables.build(arguments.source, arguments.seed, home)
    tags = {
        "protocol": arguments.protocol.value,
        "source": arguments.source,
        "command": "ablate",
    }
    with (
        exclusive(home.ablations.with_suffix(".lock")),
        progress_display(console) as progress,
    ):
        reporter = ProgressReporter(progress)
        folder = ingest(source, home.datasets, reporter)
        dataset, manifest = open_dataset(folder)
        require_both_classes(manifest, ("train", "validation", arguments.split))
        data = AblationData.prepare(
            dataset, manifest, arguments.protocol, arguments.label_delay_days, arguments.split,
            reporter,
        )  # fmt: skip
        cases = _chosen(arguments, data, hyperparameters.get("gnn", {}))
        kept = home.ablations / f"{folder.name}-{arguments.protocol.value}-{arguments.split}"
        fits = KeptFits(data, kept, arguments.epochs, hyperparameters)
        tracking.connect(home)
        name = f"ablate {arguments.source} {arguments.protocol.value}"
        with tracking.run(name, _parameters(arguments, folder, cases), tags) as run:
            tracking.log_dataset(manifest, folder, FOLDER)
            table = _measure(cases, arguments, data, fits, reporter)
            out = arguments.out or kept / f"against-{arguments.reference}"
            files = _write(table, out, arguments)
            _record(table, files, arguments)
    _print(table, arguments, console)
    console.print(f"run: {run.info.run_id}   dataset: {folder}", soft_wrap=True)
    console.print(f"table and plot: {out}", soft_wrap=True)
    console.print(f"compare in the MLflow UI: {tracking.ui_command(home)}", soft_wrap=True)


def _checked_hyperparameters(arguments: Arguments) -> dict[str, dict[str, Any]]:
    """Hyper-parameters of each model in the file, if there is one and the options are sound."""
    faults = []
    for option, value, least in (
        ("--seeds", arguments.seeds, 1),
        ("--seed", arguments.seed, 0),
        ("--epochs", arguments.epochs, 1),
        ("--label-delay-days", arguments.label_delay_days, 0),
    ):
        if value is not None and value < least:
            faults.append(Fault(option, f"{value} is too few", f"Use {least} or more"))
    if len(set(arguments.cases)) < len(arguments.cases):
        faults.append(Fault("--cases", "a case is named twice", "Name each case once"))
    if arguments.out is not None and arguments.out.is_file():
        faults.append(Fault(str(arguments.out), "is a file", "Name a folder with --out"))
    hyperparameters: dict[str, dict[str, Any]] = {}
    if arguments.hyperparameters is not None:
        try:
            hyperparameters = read_hyperparameters(arguments.hyperparameters)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return hyperparameters


def _chosen(arguments: Arguments, data: AblationData, gnn: dict[str, Any]) -> list[Case]:
    """The named cases or all, the reference first.

    Raises:
        InputError: A named case does not apply to the source.
    """
    applicable = {
        case.name: case for case in applicable_cases(data.train, data.preparation.keys, gnn)
    }
    named = (("--reference", arguments.reference), *(("--cases", name) for name in arguments.cases))
    faults = [
        Fault(option, f"there is no case '{name}' for this source", f"Choose from {known}")
        for option, name in named
        if name not in applicable
        for known in [", ".join(applicable)]
    ]
    if faults:
        raise InputError(faults)
    names = dict.fromkeys((arguments.reference, *(arguments.cases or applicable)))
    return [applicable[name] for name in names]


def _measure(
    cases: list[Case],
    arguments: Arguments,
    data: AblationData,
    fits: KeptFits,
    reporter: ProgressReporter,
) -> AblationTable:
    """Run the fits that have not run yet, a seed of all cases before the next; compare."""
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    todo = [(case, seed) for seed in seeds for case in cases if not fits.has(case, seed)]
    for part, (case, seed) in enumerate(todo):
        fit = fits.get(case, seed, PartReporter(reporter, "ablate", part, len(todo)))
        reporter.say(f"{case.name}, seed {seed}: {fit.seconds:.1f} s")
        reporter.progress("ablate", part + 1, len(todo))
    labelled, groups = data.labels >= 0, data.groups()
    comparison = SeedComparison(
        data.labels[labelled], data.arrays.customer[data.rows][labelled], groups
    )
    measured = []
    for done, case in enumerate(cases):
        reporter.progress("compare", done, len(cases))
        of_case = [fits.get(case, seed, reporter) for seed in seeds]
        figures = comparison.figures([fit.probability[labelled] for fit in of_case])
        measured.append(Measured(case, figures, float(np.mean([fit.seconds for fit in of_case]))))
    reporter.progress("compare", len(cases), len(cases))
    num_events = {name: int(mask.sum()) for name, mask in groups.items()}
    return AblationTable.of(measured, arguments.reference, num_events)


def _write(table: AblationTable, out: Path, arguments: Arguments) -> list[Path]:
    """Write the table and, unless the reference is alone, the plot."""
    settings = {
        "source": described(arguments.source),
        "protocol": arguments.protocol.value,
        "split": arguments.split,
        "seeds": arguments.seeds,
    }
    files = table.write(out, settings)
    if len(table.measured) > 1:
        files.append(out / "forest.png")
        _forest(table, arguments).savefig(files[-1])
    return files


def _forest(table: AblationTable, arguments: Arguments) -> Figure:
    place = f"{described(arguments.source)}, {arguments.split} split, seeds: {arguments.seeds}"
    return difference_forest(table.estimates(), table.reference, arguments.protocol, place)


def _record(table: AblationTable, files: list[Path], arguments: Arguments) -> None:
    tracking.log_metrics(table.metrics(arguments.split))
    tracking.describe_run(table.text())
    for path in files:
        tracking.log_file(path, FOLDER)


def _parameters(arguments: Arguments, folder: Path, cases: list[Case]) -> dict[str, Any]:
    flat = asdict(arguments)
    flat |= flat.pop("tables")
    names = tuple(case.name for case in cases)
    return {
        **flat,
        "protocol": arguments.protocol.value,
        "cases": names,
        "dataset": folder.name,
    }


def _print(table: AblationTable, arguments: Arguments, console: Console) -> None:
    subject = f"{described(arguments.source)}, protocol {arguments.protocol.value}"
    title = (
        f"{subject}: {arguments.split} split, seeds: {arguments.seeds}, against {table.reference}"
    )
    printed = Table(title=title, box=SIMPLE_HEAD, padding=0)
    printed.add_column("case", no_wrap=True)
    for heading in PRINTED.values():
        printed.add_column(heading, justify="right", no_wrap=True)
    for name, row in table.text().iterrows():
        printed.add_row(str(name), *(row[title] for title in PRINTED))
    console.print(printed)


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
