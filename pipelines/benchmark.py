"""Measure speed and memory of the hot paths, each against a named alternative in the same run.

Every part of a case is measured in a fresh process; contenders that are compared take turns in it.
Figures are medians with quartiles, and how many times as much as the first contender. The roofline
is the least time that the machine's own rates allow, measured in the same process.

Close whatever else runs on the machine. The cases scoring, predict and growth take long; what they
have measured is kept, so a killed run goes on where it was.
"""

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.files import atomic_file
from data.synthesis.generate import SMALLEST_SCALE
from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.benchmarks.case import Case, Settings
from pipelines.benchmarks.isolation import MeasuredPart, measure_apart
from pipelines.benchmarks.kept import KeptParts
from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.registry import create
from pipelines.benchmarks.table import long_table, printed_tables, remarks
from pipelines.command import run_command
from pipelines.exclusive import exclusive
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display

EXPERIMENT = "benchmark"
"""MLflow experiment."""

CaseName = Literal[
    "full_batch_step",
    "sampling",
    "scoring",
    "predict",
    "several_processes",
    "growth",
    "gauss_newton_step",
    "pruning",
    "dense_training",
    "serving",
]
BUSY = 0.1
"""Cores kept busy by other processes from which on figures are called disturbed."""


@dataclass(frozen=True)
class Arguments:
    """Options of `benchmark`."""

    cases: tuple[CaseName, ...] = get_args(CaseName)
    """full_batch_step: a training step of sage against stock PyG. sampling: neighbour sampling
    against plain torch. scoring: fitting and scoring with every default model. predict: a file of
    scores from a file of events, in portions against the whole file at once, at two sizes.
    several_processes: training by two processes of one thread against one. growth: ingest,
    features, graph, an epoch and scoring at four sizes. gauss_newton_step: a step of exact
    Gauss-Newton in a reversible network against SGD and against the SVD of its features. pruning: a
    step of learning curvature against a training step, of ResNet-18 and the MLPNet. serving:
    latency of the HTTP service with gnn against lightgbm, at a steady rate for 12 s times
    --repeats."""
    parts: tuple[str, ...] = ()
    """Parts of the cases to measure, such as `gnn` of scoring or "learn at scale 0.1" of growth
    (default: all)."""
    scale: float = 1.0
    """Size of the synthetic data; 1.0 is the size of GraphReturns, and of the paper's network for
    MNIST. growth measures a tenth, three
    tenths, once and three times this size."""
    threads: int | None = None
    """Threads and cores of a measured process (default: all cores that may be used)."""
    repeats: int = 5
    """How often what takes seconds is measured, after once to warm up; what takes minutes is
    measured once."""
    epochs: int | None = None
    """Epochs of the neural models in scoring and predict (default: each model's own)."""
    seed: int = 0
    """Seed of synthetic data, models and draws."""
    again: bool = False
    """Measure again what is kept of scoring, predict and growth."""
    home: Path = Path("artifacts")
    """Folder of all state: synthetic data, measurements, MLflow database and artifacts."""


def main(arguments: Arguments, console: Console) -> None:
    """Measure, print, record."""
    threads = _usable_cores() if arguments.threads is None else arguments.threads
    _check(arguments, threads)
    settings = Settings(
        arguments.scale,
        arguments.repeats,
        threads,
        arguments.epochs,
        arguments.seed,
        arguments.home,
    )
    chosen = _chosen_parts(arguments, settings)
    home = Home.prepare(arguments.home)
    settings = replace(settings, home=home.root)
    home.benchmarks.mkdir(exist_ok=True)
    with (
        exclusive(home.benchmarks / "lock"),
        progress_display(console) as progress,
    ):
        kept = KeptParts(home.benchmarks / "kept.json")
        reporter = ProgressReporter(progress)
        tracking.connect(home, EXPERIMENT)
        tags = {"command": EXPERIMENT, "source": "twin"}
        with tracking.run(_run_name(arguments), _parameters(arguments, threads), tags) as run:
            results = home.benchmarks / f"{run.info.run_id}.json"
            content: dict[str, Any] = {"settings": _parameters(arguments, threads), "cases": {}}
            for name in arguments.cases:
                case = create(name)
                parts = _measure(case, chosen[name], settings, kept, arguments.again, reporter)
                measurements = [row for part in parts.values() for row in part.measurements]
                conclusions = list(case.conclude(measurements))
                measurements += conclusions
                content["cases"][name] = {
                    "parts": {part: found.to_json() for part, found in parts.items()},
                    "conclusions": [row.to_json() for row in conclusions],
                }
                with atomic_file(results) as partial:
                    partial.write_text(json.dumps(content, indent=1) + "\n")
                _record(case, measurements)
                _print(case, measurements, parts, console)
            tracking.log_file(results, EXPERIMENT)
    console.print(f"run: {run.info.run_id}   all figures: {results}", soft_wrap=True)
    console.print(f"compare in the MLflow UI: {tracking.ui_command(home)}", soft_wrap=True)


def _check(arguments: Arguments, threads: int) -> None:
    faults = []
    if not arguments.cases:
        faults.append(Fault("--cases", "no case is named", "Leave the option out for all"))
    if len(set(arguments.cases)) < len(arguments.cases):
        faults.append(Fault("--cases", "a case is named twice", "Name each case once"))
    smallest = 10 * SMALLEST_SCALE if "growth" in arguments.cases else SMALLEST_SCALE
    if not smallest <= arguments.scale <= 3:
        message = f"{arguments.scale} is out of range"
        faults.append(Fault("--scale", message, f"Use a number from {smallest:g} to 3"))
    if not 1 <= threads <= _usable_cores():
        message = f"{threads} is out of range"
        faults.append(Fault("--threads", message, f"Use a number from 1 to {_usable_cores()}"))
    for option, value, least in (
        ("--repeats", arguments.repeats, 1),
        ("--epochs", arguments.epochs, 1),
        ("--seed", arguments.seed, 0),
    ):
        if value is not None and value < least:
            faults.append(Fault(option, f"{value} is too few", f"Use {least} or more"))
    if faults:
        raise InputError(faults)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _chosen_parts(arguments: Arguments, settings: Settings) -> dict[str, list[str]]:
    """The parts of each case that are to be measured.

    Raises:
        InputError: A part is in none of the cases, or a case has none of the parts.
    """
    parts: dict[str, list[str]] = {
        name: list(create(name).parts(settings)) for name in arguments.cases
    }
    if not arguments.parts:
        return parts
    known = [part for of_case in parts.values() for part in of_case]
    remedy = f"Choose from {'; '.join(known)}"
    faults = [
        Fault("--parts", f"there is no part '{part}' in these cases", remedy)
        for part in arguments.parts
        if part not in known
    ]
    chosen: dict[str, list[str]] = {
        name: [part for part in of_case if part in arguments.parts]
        for name, of_case in parts.items()
    }
    faults += [
        Fault("--cases", f"'{name}' has none of the named parts", "Leave the case out")
        for name, of_case in chosen.items()
        if not of_case
    ]
    if faults:
        raise InputError(faults)
    return chosen


def _measure(
    case: Case,
    parts: Sequence[str],
    settings: Settings,
    kept: KeptParts,
    again: bool,
    reporter: ProgressReporter,
) -> dict[str, MeasuredPart]:
    """Parts of a case: kept ones where the case keeps them, the others measured now."""
    measured = {}
    for number, part in enumerate(parts):
        reporter.progress(case.name, number, len(parts))
        found = kept.get(case.name, part, settings) if case.is_kept and not again else None
        if found is None:
            found = measure_apart(case.name, part, settings)
            if case.is_kept:
                kept.put(case.name, part, settings, found)
        measured[part] = found
    reporter.progress(case.name, len(parts), len(parts))
    return measured


def _record(case: Case, measurements: Sequence[Measurement]) -> None:
    """Log the figures of a case to the current run."""
    table = long_table(case.name, measurements)
    names = table["case"] + "/" + table["task"] + "/" + table["contender"] + "/" + table["quantity"]
    readable = [re.sub(r"[^\w\-. /]", "_", name) for name in names]
    tracking.log_metrics(dict(zip(readable, table["median"], strict=True)))
    tracking.log_table(table, f"{EXPERIMENT}/{case.name}")
    tracking.log_figures(case.figures(measurements))


def _print(
    case: Case,
    measurements: Sequence[Measurement],
    parts: dict[str, MeasuredPart],
    console: Console,
) -> None:
    console.print(f"\n{case.title}", style="bold")
    for task, table in printed_tables(measurements).items():
        printed = Table(title=escape(task), title_justify="left", box=SIMPLE_HEAD)
        for heading in ("", *table.columns):
            printed.add_column(heading)
        for row in table.itertuples():
            printed.add_row(*row)
        console.print(printed)
    for line in remarks(measurements):
        console.print(line, soft_wrap=True)
    disturbed = {part: found.others for part, found in parts.items() if (found.others or 0) > BUSY}
    for part, cores in disturbed.items():
        line = f"disturbed: other processes kept {cores:.1f} cores busy during {part}"
        console.print(line, soft_wrap=True)


def _run_name(arguments: Arguments) -> str:
    return f"benchmark at scale {arguments.scale:g}"


def _parameters(arguments: Arguments, threads: int) -> dict[str, Any]:
    import torch

    return {
        **asdict(arguments),
        "home": str(arguments.home),
        "threads": threads,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
