"""Choose hyper-parameters on the validation split, with the same budget for every model.

The first trial of a model is its defaults, the others are proposed by Optuna's TPE sampler. What
is lowered is the cross-entropy on the validation split; the test split is not touched. A killed
tuning continues where it was when the same command is run again. Every fit is a run in MLflow, and
`train --hyperparameters` reads the file that is written in the end.
"""

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from data.dataset import ingest, open_dataset
from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.command import run_command
from pipelines.exclusive import exclusive
from pipelines.home import Home
from pipelines.hyperparameter_file import write_hyperparameters
from pipelines.model_arguments import DEFAULT_MODELS, ModelName, model_faults, require_both_classes
from pipelines.progress import ProgressReporter, progress_display
from pipelines.search import open_storage
from pipelines.source_arguments import SourceArguments, SourceName, described
from pipelines.tuning import Budget, Tuned, Tuner, TuningData
from returns.plots import optimisation_history
from returns.protocol import Protocol

FOLDER = "tuning"
"""Folder of MLflow artifacts."""


@dataclass(frozen=True)
class Arguments:
    """Options of `tune`."""

    source: SourceName = "twin"
    """twin (synthetic lookalike of GraphReturns), graphreturns (the real release), orders (dated
    order lines in the columns of the Data Mining Cup 2014), tables (your own, with a mapping)."""
    tables: SourceArguments = field(default_factory=SourceArguments)
    protocol: tyro.conf.EnumChoicesFromValues[Protocol] = Protocol.STRICT
    """strict: only what was known when the order was placed. paper: all columns of the release,
    those computed from outcomes included."""
    models: tuple[ModelName, ...] = DEFAULT_MODELS
    """Models to tune."""
    trials: int = 30
    """Configurations tried for each model, its defaults among them."""
    repeat_best: int = 3
    """How many of the best are evaluated again with other seeds, the defaults always beside them;
    the lowest mean is chosen. 0: the best trial is chosen as it is."""
    seeds: int = 2
    """How many other seeds."""
    seed: int = 0
    """Seed of the synthetic twin, the models and the search."""
    label_delay_days: int = 0
    """Days after the order until its label is known (dated sources): labels younger than that
    inform no other order."""
    out: Path | None = None
    """JSON file of the chosen hyper-parameters, overwritten if it is there (default:
    hyperparameters/SOURCE-PROTOCOL.json under --home)."""
    home: Path = Path("artifacts")
    """Folder of all state: datasets, searches, MLflow database and artifacts."""


def main(arguments: Arguments, console: Console) -> None:
    """Tune, compare with the defaults, write what was chosen."""
    _check(arguments)
    home = Home.prepare(arguments.home)
    source = arguments.tables.build(arguments.source, arguments.seed, home)
    out = arguments.out or _default_out(arguments, home)
    budget = Budget(arguments.trials, arguments.repeat_best, arguments.seeds)
    tags = {
        "protocol": arguments.protocol.value,
        "source": arguments.source,
        "command": "tune",
    }
    with (
        exclusive(home.tuning_database.with_suffix(".lock")),
        open_storage(home.tuning_database) as storage,
        progress_display(console) as progress,
    ):
        reporter = ProgressReporter(progress)
        folder = ingest(source, home.datasets, reporter)
        dataset, manifest = open_dataset(folder)
        require_both_classes(manifest, ("train", "validation"))
        data = TuningData.prepare(
            dataset, manifest, arguments.protocol, arguments.label_delay_days, reporter
        )
        tracking.connect(home)
        parameters = _parameters(arguments, folder)
        name = f"tune {arguments.source} {arguments.protocol.value}"
        with tracking.run(name, parameters, tags) as parent:
            tracking.log_dataset(manifest, folder, "tuning")
            tuned: dict[str, Tuned] = {}
            for model in arguments.models:
                model_tags = {**tags, "model": model}
                own = {**parameters, "models": model}
                with tracking.run(f"tune {model}", own, model_tags, nested=True):
                    tracking.log_dataset(manifest, folder, "tuning")
                    tuner = Tuner(model, data, storage, arguments.seed, model_tags, reporter)
                    tuned[model] = tuner.run(budget)
                    _record(model, tuned[model], arguments)
            write_hyperparameters(
                out, {model: found.chosen.hyperparameters for model, found in tuned.items()}
            )
            tracking.log_file(out, FOLDER)
            summary = _summary(tuned)
            tracking.log_table(summary, f"{FOLDER}/summary")
            tracking.describe_run(summary)
    _print_summary(summary, arguments, console)
    console.print(f"run: {parent.info.run_id}   dataset: {folder}", soft_wrap=True)
    console.print(f"train with what was chosen: {_train_command(arguments, out)}", soft_wrap=True)
    console.print(f"compare in the MLflow UI: {tracking.ui_command(home)}", soft_wrap=True)


def _check(arguments: Arguments) -> None:
    faults = model_faults(arguments.models)
    for option, value, least in (
        ("--trials", arguments.trials, 1),
        ("--repeat-best", arguments.repeat_best, 0),
        ("--seeds", arguments.seeds, 1),
        ("--seed", arguments.seed, 0),
        ("--label-delay-days", arguments.label_delay_days, 0),
    ):
        if value < least:
            faults.append(Fault(option, f"{value} is too few", f"Use {least} or more"))
    if arguments.out is not None and arguments.out.is_dir():
        faults.append(Fault(str(arguments.out), "is a folder", "Name a file with --out"))
    if faults:
        raise InputError(faults)


def _default_out(arguments: Arguments, home: Home) -> Path:
    return home.hyperparameters / f"{arguments.source}-{arguments.protocol.value}.json"


def _parameters(arguments: Arguments, folder: Path) -> dict[str, Any]:
    flat = asdict(arguments)
    flat |= flat.pop("tables")
    return {**flat, "protocol": arguments.protocol.value, "dataset": folder.name}


def _train_command(arguments: Arguments, out: Path) -> str:
    """The command that trains the same models on the same data with what was chosen."""
    unlike_train = ("trials", "repeat_best", "seeds", "out", "dataset")
    defaults = _parameters(Arguments(), Path())
    words = ["python", "-m", "pipelines.train"]
    for name, value in _parameters(arguments, Path()).items():
        if name not in unlike_train and value != defaults[name]:
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return shlex.join([*words, "--hyperparameters", str(out)])


def _record(model: str, tuned: Tuned, arguments: Arguments) -> None:
    """Log what tuning a model found to its run."""
    chosen = tuned.chosen.hyperparameters.items()
    tracking.log_parameters({f"model.{key}": value for key, value in chosen})
    tracking.log_metrics(
        {
            "validation_cross_entropy": tuned.loss,
            "default_validation_cross_entropy": tuned.default_loss,
            "trials": len(tuned.trials),
            "tuning_seconds": tuned.seconds,
        }
    )
    tracking.log_table(tuned.table(), f"{FOLDER}/trials")
    losses = np.array([trial.evaluation.loss for trial in tuned.trials])
    place = (arguments.protocol, described(arguments.source))
    tracking.log_figures({"optimisation_history": optimisation_history(losses, model, *place)})


def _summary(tuned: dict[str, Tuned]) -> pd.DataFrame:
    """One row per model: validation cross-entropy of defaults and of what was chosen."""
    rows = {
        model: {
            "defaults": found.default_loss,
            "tuned": found.loss,
            "trials": len(found.trials),
            "seconds": round(found.seconds),
        }
        for model, found in tuned.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").astype({"trials": int, "seconds": int})


def _print_summary(summary: pd.DataFrame, arguments: Arguments, console: Console) -> None:
    subject = f"{described(arguments.source)}, protocol {arguments.protocol.value}"
    again = f", mean over {arguments.seeds} other seeds" if arguments.repeat_best else ""
    printed = Table(title=f"{subject}: validation cross-entropy{again}", box=SIMPLE_HEAD)
    printed.add_column("model")
    for heading in summary.columns:
        printed.add_column(heading, justify="right")
    for model, row in summary.iterrows():
        printed.add_row(
            str(model),
            f"{row['defaults']:.5f}",
            f"{row['tuned']:.5f}",
            f"{row['trials']:.0f}",
            f"{row['seconds']:,.0f}",
        )
    console.print(printed)
    for model in summary.index[summary["trials"] < arguments.trials]:
        console.print(f"{model} has no search space: evaluated at its defaults only")


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
