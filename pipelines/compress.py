"""Compare pruning methods: second-order curvature, learned or not, each at its best setting.

Every method's damping and sample size are chosen on training images held out, from grids of one
size; only then are the chosen ones measured with several seeds on test images. Each cell of the
tables is kept under --home as it is measured: the same command run again goes on where it was.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from compression.studies.methods import METHODS
from data.files import atomic_file
from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.command import run_command
from pipelines.compression_study import charts, resnet18, table
from pipelines.compression_study.cells import CellStore
from pipelines.compression_study.measuring import Measurement, Plan
from pipelines.compression_study.mlpnet import MLPNetStudy
from pipelines.compression_study.profiles import MLPNET, ProfileName
from pipelines.exclusive import exclusive
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display

EXPERIMENT = "compression"

FIGURE = "test_accuracy"


@dataclass(frozen=True)
class Arguments:
    """Options of `compress`."""

    images: Path
    """Folder of MNIST (for mlpnet) or CIFAR-10 (for resnet18), as torchvision's `root`."""
    study: Literal["mlpnet", "resnet18"] = "mlpnet"
    """mlpnet: the published MLPNet on MNIST, pruned without fine-tuning. resnet18: ResNet-18 on
    CIFAR-10, so far its dense training."""
    checkpoint: Path | None = None
    """File of the dense MLPNet of the WoodFisher code (`mlpnet_mnist_93.97.ckpt`)."""
    profile: ProfileName = "smoke"
    """smoke: under 2 minutes. cpu: all methods at once (mlpnet) or the dense training (resnet18),
    hours on two cores. full: stages too, longer training; meant for a GPU."""
    methods: tuple[str, ...] = ()
    """Methods to compare (default: those of the profile)."""
    stages: tuple[int, ...] = ()
    """Numbers of stages to prune in; 1 is at once (default: those of the profile)."""
    sparsities: tuple[float, ...] = ()
    """Shares of weights to remove (default: those of the profile)."""
    seeds: int | None = None
    """Seeds of the final cells (default: those of the profile)."""
    home: Path = Path("artifacts")
    """Folder of all state: datasets, MLflow database and artifacts."""


def main(arguments: Arguments, console: Console) -> None:
    """Measure what is missing, report all."""
    _check(arguments)
    home = Home.prepare(arguments.home)
    home.compression.mkdir(exist_ok=True)
    with exclusive(home.compression / f".{arguments.study}.lock"):
        if arguments.study == "resnet18":
            resnet18.train_dense(arguments.images, arguments.profile, home, EXPERIMENT, console)
        else:
            _prune_mlpnet(arguments, home, console)
    console.print(f"compare in the MLflow UI: {tracking.ui_command(home)}", soft_wrap=True)


def _prune_mlpnet(arguments: Arguments, home: Home, console: Console) -> None:
    assert arguments.checkpoint is not None
    profile = MLPNET[arguments.profile]
    plan = _plan(arguments, profile.plan)
    study = MLPNetStudy.read(
        arguments.images, arguments.checkpoint, profile.num_images, profile.num_held_out
    )
    tracking.connect(home, EXPERIMENT)
    tags = {"study": arguments.study, "profile": arguments.profile}
    parameters = {**asdict(plan), **study.described}
    with (
        progress_display(console) as progress,
        tracking.run(f"mlpnet {arguments.profile}", parameters, tags) as run,
    ):
        store = CellStore(home.compression / "cells" / "mlpnet")
        measurement = Measurement(study, plan, store, ProgressReporter(progress))
        frame = table.as_frame(measurement.rows())
        dense = study.dense_figures()
        out = home.compression / f"mlpnet-{arguments.profile}"
        files = _write(frame, dense, plan, out)
        _record(frame, dense, plan, files)
    _print(frame, dense, plan, console)
    console.print(f"run: {run.info.run_id}   tables: {out}", soft_wrap=True)


def _check(arguments: Arguments) -> None:
    """Refuse what no study can start with, all at once."""
    faults = []
    if arguments.study == "mlpnet" and arguments.checkpoint is None:
        remedy = "Give the file mlpnet_mnist_93.97.ckpt of the WoodFisher code"
        faults.append(Fault("--checkpoint", "mlpnet needs the dense checkpoint", remedy))
    known = ", ".join(METHODS)
    faults += [
        Fault("--methods", f"there is no method '{name}'", f"Choose from {known}")
        for name in arguments.methods
        if name not in METHODS
    ]
    faults += [
        Fault("--stages", f"{stages} is no number of stages", "Use 1 or more")
        for stages in arguments.stages
        if stages < 1
    ]
    faults += [
        Fault("--sparsities", f"{sparsity:g} is no share to remove", "Use 0 or more, below 1")
        for sparsity in arguments.sparsities
        if not 0 <= sparsity < 1
    ]
    if arguments.seeds is not None and arguments.seeds < 1:
        faults.append(Fault("--seeds", f"{arguments.seeds} is too few", "Use 1 or more"))
    if faults:
        raise InputError(faults)


def _plan(arguments: Arguments, plan: Plan) -> Plan:
    """The profile's plan, with what the user named."""
    seeds = plan.seeds if arguments.seeds is None else tuple(range(arguments.seeds))
    return replace(
        plan,
        methods=arguments.methods or plan.methods,
        stages=arguments.stages or plan.stages,
        sparsities=arguments.sparsities or plan.sparsities,
        seeds=seeds,
    )


def _write(frame: pd.DataFrame, dense: Mapping[str, float], plan: Plan, out: Path) -> list[Path]:
    """Write `cells.csv`, `tables.md` and the charts."""
    texts = {"cells.csv": frame.to_csv(index=False), "tables.md": _markdown(frame, dense, plan)}
    files = []
    for name, text in texts.items():
        with atomic_file(out / name) as partial:
            partial.write_text(text, encoding="utf-8")
        files.append(out / name)
    for stages in plan.stages:
        drawn = {
            f"accuracy-{stages}-stage.png": charts.quality_by_sparsity(
                frame, FIGURE, "test accuracy", dense[FIGURE], stages, "MLPNet, MNIST"
            ),
            f"costs-{stages}-stage.png": charts.costs(frame, stages, "MLPNet, MNIST"),
        }
        for name, figure in drawn.items():
            figure.savefig(out / name)
            files.append(out / name)
    return files


def _markdown(frame: pd.DataFrame, dense: Mapping[str, float], plan: Plan) -> str:
    parts = [f"MLPNet on MNIST, test accuracy in %; dense: {100 * dense[FIGURE]:.2f}.\n"]
    for stages in plan.stages:
        parts.append(f"Stages: {stages}; mean ± s.d. over {len(plan.seeds)} seeds.\n")
        parts.append(table.markdown(table.to_read(frame, FIGURE, stages)))
    return "\n".join(parts)


def _record(frame: pd.DataFrame, dense: Mapping[str, float], plan: Plan, files: list[Path]) -> None:
    tracking.log_metrics({f"dense_{name}": value for name, value in dense.items()})
    tracking.log_metrics(table.metrics(frame, FIGURE))
    tracking.describe_run(table.to_read(frame, FIGURE, plan.stages[0]))
    for path in files:
        tracking.log_file(path, "tables" if path.suffix != ".png" else "plots")


def _print(frame: pd.DataFrame, dense: Mapping[str, Any], plan: Plan, console: Console) -> None:
    console.print(f"MLPNet on MNIST, test accuracy in %; dense: {100 * dense[FIGURE]:.2f}")
    for stages in plan.stages:
        of_stages = table.to_read(frame, FIGURE, stages)
        printed = Table(
            title="at once" if stages == 1 else f"{stages} stages", box=SIMPLE_HEAD, padding=0
        )
        printed.add_column("method", no_wrap=True)
        for sparsity in of_stages.columns:
            printed.add_column(sparsity, justify="right", no_wrap=True)
        for name, row in of_stages.iterrows():
            printed.add_row(str(name), *row)
        console.print(printed)


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
