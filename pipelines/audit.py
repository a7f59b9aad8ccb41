"""Look for leakage in a dataset: does anything that models may see tell the label too early?

Measures how well each column alone tells the label; looks for columns computed from labels, missing
rows and values that predict, columns of outcomes in both halves of a release, and columns that
change when the future is cut off; counts what train and test share, and rows that repeat or
contradict each other. Ingests the source if needed, or takes a dataset directory as it is.

Exit codes: 0 no leak, or --protocol paper, under which leaks are expected and printed; 1 leaks
under --protocol strict; 2 wrong usage or bad input.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.dataset import Manifest, ingest, open_dataset
from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.command import FAILED, run_command
from pipelines.home import Home
from pipelines.model_arguments import require_both_classes
from pipelines.progress import ProgressReporter, progress_display
from pipelines.source_arguments import SourceArguments, SourceName, described
from returns.audit.auditing import audit
from returns.audit.chart import column_auc_chart
from returns.audit.findings import AuditReport, Finding, Severity
from returns.protocol import Protocol

FOLDER = "audit"
"""Folder of MLflow artifacts."""

MOST_NAMES = 3
"""Columns of a finding that are printed by name; the report has them all."""

DEFAULT_SOURCE: SourceName = "twin"


@dataclass(frozen=True)
class Arguments:
    """Options of `audit`."""

    dataset: tyro.conf.Positional[Path | None] = None
    """Dataset directory that `ingest` printed; in place of the options of a source."""
    source: SourceName = DEFAULT_SOURCE
    """twin (synthetic lookalike of GraphReturns), graphreturns (the real release), orders (dated
    order lines in the columns of the Data Mining Cup 2014), tables (your own, with a mapping)."""
    tables: SourceArguments = field(default_factory=SourceArguments)
    protocol: tyro.conf.EnumChoicesFromValues[Protocol] = Protocol.STRICT
    """strict: only what was known when the order was placed. paper: all columns of the release,
    those computed from outcomes included."""
    seed: int = 0
    """Seed of the synthetic twin."""
    label_delay_days: int = 0
    """Days after the order until its label is known (dated sources), as in `train`."""
    home: Path = Path("artifacts")
    """Folder of all state: datasets, MLflow database and artifacts."""


def main(arguments: Arguments, console: Console) -> None:
    """Audit, record, print; exit with 1 if there are leaks under `strict`."""
    _check(arguments)
    home = Home.prepare(arguments.home)
    with progress_display(console) as progress:
        reporter = ProgressReporter(progress)
        folder = _dataset_folder(arguments, home, reporter)
        dataset, manifest = open_dataset(folder)
        require_both_classes(manifest, ("train", "test"))
        tracking.connect(home)
        protocol = arguments.protocol
        tags = {"protocol": protocol.value, "source": manifest.source, "command": "audit"}
        name = f"audit {manifest.source} {protocol.value}"
        with tracking.run(name, _parameters(arguments, manifest, folder), tags) as run:
            tracking.log_dataset(manifest, folder, "audit")
            report = audit(dataset, protocol, arguments.label_delay_days, reporter)
            _record(report, manifest)
    _print(report, manifest, console)
    console.print(f"run: {run.info.run_id}   dataset: {folder}", soft_wrap=True)
    console.print(f"all figures in the MLflow UI: {tracking.ui_command(home)}", soft_wrap=True)
    if report.leaks and protocol is Protocol.STRICT:
        sys.exit(FAILED)


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """One row per finding: severity, check, columns, what was measured, meaning, remedy."""
    return pd.DataFrame(
        {
            "severity": [finding.severity.value for finding in findings],
            "check": [finding.check.value for finding in findings],
            "columns": [", ".join(finding.columns) for finding in findings],
            "measured": [_measured(finding, ", ") for finding in findings],
            "meaning": [finding.explanation for finding in findings],
            "remedy": [finding.remedy for finding in findings],
        }
    )


def columns_table(report: AuditReport) -> pd.DataFrame:
    """One row per column that models may see, the most telling first."""
    rows = {
        column.name: {
            "kind": column.kind.value,
            "AUC train": column.train.value,
            "error train": column.train.error,
            "AUC test": column.test.value,
            "error test": column.test.error,
        }
        for column in report.columns
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _check(arguments: Arguments) -> None:
    faults = []
    names_source = arguments.source != DEFAULT_SOURCE or arguments.tables != SourceArguments()
    if arguments.dataset is not None and (names_source or arguments.seed != 0):
        message = "a dataset directory and options of a source are given"
        faults.append(Fault(str(arguments.dataset), message, "Give one or the other"))
    if arguments.label_delay_days < 0:
        faults.append(Fault("--label-delay-days", "a label is never early", "Use 0 or more"))
    if faults:
        raise InputError(faults)


def _dataset_folder(arguments: Arguments, home: Home, reporter: ProgressReporter) -> Path:
    if arguments.dataset is not None:
        return arguments.dataset
    source = arguments.tables.build(arguments.source, arguments.seed, home)
    return ingest(source, home.datasets, reporter)


def _parameters(arguments: Arguments, manifest: Manifest, folder: Path) -> dict[str, Any]:
    flat = asdict(arguments)
    flat |= flat.pop("tables")
    resolved = {"protocol": arguments.protocol.value, "source": manifest.source}
    return {**flat, **resolved, "dataset": folder.name}


def _record(report: AuditReport, manifest: Manifest) -> None:
    """Log counts, findings, the figures of all columns and their chart to the current run."""
    metrics = {"leaks": len(report.leaks), "notes": len(report.findings) - len(report.leaks)}
    tracking.log_metrics(metrics)
    tracking.log_table(findings_table(report.findings), f"{FOLDER}/findings")
    tracking.log_table(columns_table(report), f"{FOLDER}/columns")
    chart = column_auc_chart(report.columns, report.protocol, described(manifest.source))
    tracking.log_figures({"column_auc": chart})
    content = {"source": manifest.source, "dataset_digest": manifest.digest, **report.to_json()}
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "report.json"
        path.write_text(json.dumps(content, indent=1) + "\n")
        tracking.log_file(path, FOLDER)


def _print(report: AuditReport, manifest: Manifest, console: Console) -> None:
    subject = f"{described(manifest.source)}, protocol {report.protocol.value}"
    printed = Table(title=f"{subject}: what was found", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("", "check", "columns", "measured"):
        printed.add_column(heading)
    for finding in report.findings:
        is_leak = finding.severity is Severity.LEAK
        severity = f"[red]{finding.severity.value}[/]" if is_leak else finding.severity.value
        printed.add_row(
            severity, finding.check.value, _names(finding, "\n"), _measured(finding, "\n")
        )
    console.print(printed)
    for finding in report.leaks:
        what = f"{_names(finding, ', ')}: {finding.explanation}. {finding.remedy}."
        console.print(f"[red]leak[/] {escape(what)}")
    number = len(report.leaks)
    found = f"{number} leak" + ("s" if number != 1 else "") if number else "no leak"
    console.print(f"{found} under {report.protocol.value}")


def _names(finding: Finding, separator: str) -> str:
    names = separator.join(finding.columns[:MOST_NAMES])
    more = len(finding.columns) - MOST_NAMES
    return f"{names}{separator}and {more} more" if more > 0 else names


def _measured(finding: Finding, separator: str) -> str:
    return separator.join(f"{name} {_figure(value)}" for name, value in finding.figures.items())


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
