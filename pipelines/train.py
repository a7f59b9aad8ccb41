"""Train and compare return classifiers; record everything in MLflow.

Ingests the source if needed, builds the heterogeneous graph, trains each model on the same
features and splits, and prints the comparison and the command that opens the MLflow UI.
"""

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from data.dataset import Dataset, Manifest, ingest, open_dataset, read_true_probability
from data.schema import SPLITS
from data.validation import Fault, InputError
from pipelines import registry, tracking
from pipelines.command import run_command
from pipelines.cost_file import read_costs
from pipelines.experiment import Experiment, Outcome
from pipelines.following import learn_along
from pipelines.home import Home
from pipelines.hyperparameter_file import read_hyperparameters
from pipelines.model_arguments import DEFAULT_MODELS, ModelName, model_faults, require_both_classes
from pipelines.model_card import model_card, version_tags
from pipelines.processes import by_first, is_first, num_processes, together
from pipelines.progress import ProgressReporter, progress_display
from pipelines.recording import record_comparison, record_outcome
from pipelines.source_arguments import SourceArguments, SourceName, described
from returns.costs import LINES, Costs
from returns.evaluation import SAVING_TITLE
from returns.models.registry import create, learns_together
from returns.protocol import Protocol

PRINTED = {
    "precision": ("precision", 3),
    "recall": ("recall", 3),
    "F1": ("F1", 4),
    "F1 at threshold": ("F1 at\nthreshold", 4),
    "cross-entropy": ("cross-\nentropy", 4),
    "ROC AUC": ("ROC\nAUC", 4),
    "Brier": ("Brier", 4),
    "ECE": ("ECE", 3),
    SAVING_TITLE: (f"saved /\n{LINES} lines", 0),
    "fit s": ("fit s", 1),
}
"""Columns of the comparison that fit a terminal: heading, decimals. The whole goes to MLflow."""

YIELDING = ("Brier", "ECE")
"""Columns that make room for the money."""


@dataclass(frozen=True)
class Arguments:
    """Options of `train`."""

    source: SourceName = "twin"
    """twin (synthetic lookalike of GraphReturns), graphreturns (the real release), orders (dated
    order lines in the columns of the Data Mining Cup 2014), tables (your own, with a mapping)."""
    tables: SourceArguments = field(default_factory=SourceArguments)
    protocol: tyro.conf.EnumChoicesFromValues[Protocol] = Protocol.STRICT
    """strict: only what was known when the order was placed. paper: all columns of the release,
    those computed from outcomes included; comparable with the published table, and leaking."""
    models: tuple[ModelName, ...] = DEFAULT_MODELS
    """Models to train; gnn-paper is the graph network of the authors of GraphReturns."""
    seed: int = 0
    """Seed of the synthetic twin, the models and the bootstrap."""
    epochs: int | None = None
    """Epochs of the neural models (default: each model's own)."""
    hyperparameters: Path | None = None
    """JSON file {model: {name: value}}, such as `tune` writes; what it leaves out has each
    model's defaults."""
    refit: bool | None = None
    """Learn anew from training and validation events together once validation has chosen
    everything, before testing (default: yes for dated sources, whose validation is the latest
    past; no for others)."""
    label_delay_days: int = 0
    """Days after the order until its label is known (dated sources): labels younger than that
    inform no other order."""
    costs: Path | None = None
    """YAML file of what a sale earns, a return costs and an intervention does: decisions are then
    made where they save money, and the table tells how much (docs/decisions.md)."""
    register: bool = False
    """Register the model of the best validation cross-entropy as `returns`."""
    home: Path = Path("artifacts")
    """Folder of all state: datasets, MLflow database and artifacts."""


def main(arguments: Arguments, console: Console) -> None:
    """Train, compare, record; a process other than the first takes its part in the training."""
    hyperparameters, costs = together(lambda: _checked_files(arguments))
    with progress_display(console) as progress:
        reporter = ProgressReporter(progress)
        home, folder = by_first(lambda: _ingested(arguments, reporter))
        dataset, manifest = together(lambda: _opened(folder))
        refit = dataset.is_dated if arguments.refit is None else arguments.refit
        if not is_first():
            models = [
                create(name, arguments.seed, arguments.epochs, **hyperparameters.get(name, {}))
                for name in arguments.models
                if learns_together(name)
            ]
            learn_along(models, dataset, arguments.protocol, arguments.label_delay_days, refit)
            return
        tracking.connect(home)
        tags = {"protocol": arguments.protocol.value, "source": arguments.source}
        with tracking.run(
            f"{arguments.source} {arguments.protocol.value}", _parameters(arguments, folder), tags
        ) as parent:
            tracking.log_dataset(manifest, folder, "training")
            if arguments.costs is not None:
                tracking.log_file(arguments.costs, "costs")
            experiment = Experiment(
                dataset,
                arguments.protocol,
                arguments.source,
                manifest.options,
                read_true_probability(folder),
                arguments.label_delay_days,
                refit,
                arguments.seed,
                reporter,
                costs,
            )
            outcomes: dict[str, Outcome] = {}
            uris: dict[str, str] = {}
            for name in arguments.models:
                model_tags = {**tags, "model": name}
                parameters = {**_parameters(arguments, folder), "models": name}
                with tracking.run(name, parameters, model_tags, nested=True) as child:
                    tracking.log_dataset(manifest, folder, "training")
                    model_reporter = ProgressReporter(progress)
                    outcome = experiment.run(
                        name, arguments.epochs, hyperparameters.get(name, {}), model_reporter
                    )
                    metadata = {**model_tags, "dataset_digest": manifest.digest}
                    uris[name] = record_outcome(
                        child.info.run_id, outcome, experiment, model_reporter.history, metadata
                    )
                    outcomes[name] = outcome
            table = record_comparison(outcomes, experiment)
            best = min(outcomes, key=lambda name: outcomes[name].validation_loss)
            if arguments.register:
                card = model_card(outcomes[best], experiment, manifest)
                tracking.log_text(card, "model_card.md")
                version = registry.register(
                    uris[best],
                    outcomes[best].predictor,
                    version_tags(outcomes[best], experiment, manifest),
                    card,
                )
                alias = registry.introduce(version)
    _print_comparison(table, manifest, arguments, console)
    console.print(f"run: {parent.info.run_id}   dataset: {folder}", soft_wrap=True)
    if arguments.register:
        console.print(f"registered {best} as {version.uri} ({alias})")
    console.print(f"score new events: {_predict_command(uris[best], arguments)}", soft_wrap=True)
    console.print(f"compare in the MLflow UI: {tracking.ui_command(home)}", soft_wrap=True)


def _ingested(arguments: Arguments, reporter: ProgressReporter) -> tuple[Home, Path]:
    """The home, and the dataset directory in it."""
    home = Home.prepare(arguments.home)
    source = arguments.tables.build(arguments.source, arguments.seed, home)
    return home, ingest(source, home.datasets, reporter)


def _opened(folder: Path) -> tuple[Dataset, Manifest]:
    """The dataset and its manifest; every split has returned and kept events."""
    dataset, manifest = open_dataset(folder)
    require_both_classes(manifest, SPLITS)
    return dataset, manifest


def _checked_files(arguments: Arguments) -> tuple[dict[str, dict[str, Any]], Costs | None]:
    """Hyper-parameters of each model and costs, if there are files and all options are sound."""
    faults = model_faults(arguments.models)
    if arguments.epochs is not None and arguments.epochs < 1:
        faults.append(Fault("--epochs", f"{arguments.epochs} is too few", "Use 1 or more"))
    if arguments.label_delay_days < 0:
        faults.append(Fault("--label-delay-days", "a label is never early", "Use 0 or more"))
    hyperparameters: dict[str, dict[str, Any]] = {}
    if arguments.hyperparameters is not None:
        try:
            hyperparameters = read_hyperparameters(arguments.hyperparameters)
        except InputError as error:
            faults += error.faults
    costs = None
    if arguments.costs is not None:
        try:
            costs = read_costs(arguments.costs)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return hyperparameters, costs


def _predict_command(model_uri: str, arguments: Arguments) -> str:
    """The command that scores with a model of the same home, for a shell."""
    words = ["python", "-m", "pipelines.predict", "--model", model_uri]
    if arguments.home != Arguments().home:
        words += ["--home", str(arguments.home)]
    return shlex.join([*words, "--events", "FILE", "--out", "FILE"])


def _parameters(arguments: Arguments, folder: Path) -> dict[str, Any]:
    flat = asdict(arguments)
    flat |= flat.pop("tables")
    resolved = {"protocol": arguments.protocol.value, "dataset": folder.name}
    return {**flat, **resolved, "processes": num_processes()}


def _print_comparison(
    table: pd.DataFrame, manifest: Manifest, arguments: Arguments, console: Console
) -> None:
    subject = f"{described(manifest.source)}, protocol {arguments.protocol.value}"
    printed = Table(title=f"{subject}: test split", box=SIMPLE_HEAD, padding=0)
    printed.add_column("model", no_wrap=True)
    yield_to_money = YIELDING if SAVING_TITLE in table else ()
    shown = {
        title: style
        for title, style in PRINTED.items()
        if title in table and title not in yield_to_money
    }
    for heading, _ in shown.values():
        printed.add_column(heading, justify="right", no_wrap=True)
    for name, row in table.iterrows():
        figures = (f"{row[title]:.{decimals}f}" for title, (_, decimals) in shown.items())
        printed.add_row(str(name), *figures)
    console.print(printed)


if __name__ == "__main__":
    run_command(Arguments, main, __doc__, several_processes=True)
