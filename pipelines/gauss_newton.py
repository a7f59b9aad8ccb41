"""Study exact Gauss-Newton in reversible networks, and judge the claims that the paper makes.

Runs the suites of a profile: every optimiser with the same number of learning rates on trial on a
validation part, then with several seeds. Finished runs are kept under --home, and the same command
goes on where it was. Ends with a report that says of each claim whether it is reproduced.
"""

from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.command import run_command
from pipelines.exclusive import exclusive
from pipelines.gauss_newton_study.claims import CLAIMS
from pipelines.gauss_newton_study.judging import judge
from pipelines.gauss_newton_study.profiles import ProfileName, suites_of
from pipelines.gauss_newton_study.reading import DataPlaces
from pipelines.gauss_newton_study.report import ReportSubject, claim_rows, write_report
from pipelines.gauss_newton_study.run_store import RunStore
from pipelines.gauss_newton_study.suite_result import SuiteResult
from pipelines.gauss_newton_study.suites import Suite
from pipelines.gauss_newton_study.sweep import SuiteSweep, described_machine
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display
from pipelines.source_arguments import SourceArguments, SourceName

EXPERIMENT = "gauss_newton"


@dataclass(frozen=True)
class Arguments:
    """Options of `gauss_newton`."""

    profile: ProfileName = "smoke"
    """smoke: under 2 minutes, data that ship with the packages. cpu: MNIST, CIFAR-10 (reduced),
    return prediction and every ablation, about an hour on two cores. paper: the paper's sizes, for
    a GPU."""
    suites: tuple[str, ...] = ()
    """Suites of the profile to run (default: all whose data are named)."""
    images: Path | None = None
    """Folder of MNIST, Fashion-MNIST and CIFAR-10; nothing is downloaded."""
    superconductivity: Path | None = None
    """`train.csv` of UCI Superconductivity."""
    source: SourceName = "twin"
    """Order lines of the suites on return prediction, as for `train`."""
    tables: SourceArguments = field(default_factory=SourceArguments)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks are trained; auto: on a GPU if there is one."""
    report_only: bool = False
    """Report what is done, run nothing; also while another process is at work."""
    every_plot: bool = False
    """Write the plots that the report does not show, too."""
    out: Path | None = None
    """Folder of the report, overwritten if it is there (default: gauss_newton/PROFILE under
    --home)."""
    home: Path = Path("artifacts")
    """Folder of all state: finished runs, datasets, MLflow database and artifacts."""


def main(arguments: Arguments, console: Console) -> None:
    """Run what is not done, judge, report."""
    device = _device(arguments)
    home = Home.prepare(arguments.home)
    home.gauss_newton.mkdir(parents=True, exist_ok=True)
    lock = home.gauss_newton.with_suffix(".lock")
    with (
        nullcontext() if arguments.report_only else exclusive(lock),
        progress_display(console) as progress,
    ):
        reporter = ProgressReporter(progress)
        places = DataPlaces(
            arguments.images,
            arguments.superconductivity,
            arguments.source,
            arguments.tables,
            home,
            reporter,
        )
        suites, left_out = _chosen(arguments, places)
        store = RunStore(home.gauss_newton / "runs")
        tracking.connect(home, EXPERIMENT)
        results = [
            _result(SuiteSweep(suite, places, store, device, reporter), arguments)
            for suite in suites
        ]
        out = arguments.out or home.gauss_newton / arguments.profile
        subject = ReportSubject(
            arguments.profile, _command(arguments), described_machine(device), left_out
        )
        files = write_report(results, subject, out, arguments.every_plot)
        run = _record(results, files, arguments)
    _print(results, console)
    for line in left_out:
        console.print(f"not run: {line}", soft_wrap=True)
    console.print(f"run: {run}   report: {files[0]}", soft_wrap=True)
    console.print(f"compare in the MLflow UI: {tracking.ui_command(home)}", soft_wrap=True)


def _result(sweep: SuiteSweep, arguments: Arguments) -> SuiteResult:
    return sweep.result() if arguments.report_only else sweep.run()


def _device(arguments: Arguments) -> torch.device:
    """Where to train.

    Raises:
        InputError: A GPU is asked for and there is none; the report's folder is a file.
    """
    faults = []
    if arguments.device == "cuda" and not torch.cuda.is_available():
        faults.append(Fault("--device", "torch sees no GPU", "Use --device cpu"))
    if arguments.out is not None and arguments.out.is_file():
        faults.append(Fault(str(arguments.out), "is a file", "Name a folder with --out"))
    if faults:
        raise InputError(faults)
    if arguments.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(arguments.device)


def _chosen(arguments: Arguments, places: DataPlaces) -> tuple[list[Suite], list[str]]:
    """The named suites or all whose data are named, and why others are left out.

    Raises:
        InputError: A named suite is unknown or its data are not named; none is left.
    """
    known = {suite.name: suite for suite in suites_of(arguments.profile)}
    faults = [
        Fault("--suites", f"profile {arguments.profile} has no suite '{name}'",
              f"Choose from {', '.join(known)}")
        for name in arguments.suites if name not in known
    ]  # fmt: skip
    chosen: list[Suite] = []
    left_out: list[str] = []
    for name, suite in known.items():
        fault = places.missing(suite.data)
        if arguments.suites and name not in arguments.suites:
            continue
        if fault is None:
            chosen.append(suite)
        elif arguments.suites:
            faults.append(fault)
        else:
            left_out.append(f"{name}: {fault.message} ({fault.file})")
    if faults:
        raise InputError(faults)
    return chosen, left_out


def _record(results: list[SuiteResult], files: list[Path], arguments: Arguments) -> str:
    """Log the report to a run of its own; its id."""
    parameters = asdict(arguments)
    parameters |= parameters.pop("tables")
    tags = {"kind": "report", "profile": arguments.profile}
    with tracking.run(f"report {arguments.profile}", parameters, tags) as run:
        for path in files:
            tracking.log_file(path, "report" if path == files[0] else f"report/{path.parent.name}")
        for claim in CLAIMS:
            for found in judge(claim, results).evidence:
                tracking.log_metrics({f"{claim.key}/{found.suite}": found.interval.mean})
        return str(run.info.run_id)


def _print(results: list[SuiteResult], console: Console) -> None:
    printed = Table(title="What the paper claims", box=SIMPLE_HEAD, padding=0)
    for heading in ("paper", "claim", "verdict"):
        printed.add_column(heading)
    for row in claim_rows([judge(claim, results) for claim in CLAIMS]):
        printed.add_row(*row)
    console.print(printed)


def _command(arguments: Arguments) -> str:
    """The command that gives the same report, with words where this machine has its files."""
    words = ["python -m pipelines.gauss_newton --profile", arguments.profile]
    if arguments.suites:
        words += ["--suites", *arguments.suites]
    if arguments.images is not None:
        words += ["--images", "FOLDER"]
    if arguments.superconductivity is not None:
        words += ["--superconductivity", "FILE"]
    if arguments.source != "twin":
        words += ["--source", arguments.source, "--path", "FILE"]
    return " ".join(words)


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
