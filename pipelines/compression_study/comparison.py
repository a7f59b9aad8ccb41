"""A study measured by a plan: its cells, tables, charts and record."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console

from data.files import atomic_file
from pipelines import tracking
from pipelines.compression_study import charts, table
from pipelines.compression_study.cells import CellStore
from pipelines.compression_study.measuring import Measurement, Plan, Study
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display

EXPERIMENT = "compression"


@dataclass(frozen=True)
class Reported:
    """A figure that tables and charts show.

    Attributes:
        figure: Its name in the cells.
        label: What it is called, with its unit.
        scale: What it is multiplied by to be in that unit.
        has_interval: Whether the cells have a 95 % interval of it, `..._low` and `..._high`.
    """

    figure: str
    label: str
    scale: float = 1.0
    has_interval: bool = False


ACCURACY = Reported("test_accuracy", "test accuracy in %", 100)


@dataclass(frozen=True)
class Comparison:
    """Which methods are compared on what.

    Attributes:
        name: Of the run, and of the folder of its tables.
        title: What is pruned, in words.
        study: The same to be measured.
        plan: Which cells.
        dense: Figures of the dense network.
        reported: The figures to show, the main one first.
        tags: Of the run.
        cells: Name of the folder of kept cells, which comparisons of one study share.
    """

    name: str
    title: str
    study: Study
    plan: Plan
    dense: Mapping[str, float]
    reported: Sequence[Reported]
    tags: Mapping[str, str]
    cells: str


def compare(comparison: Comparison, home: Home, console: Console) -> pd.DataFrame:
    """Measure what is missing; write, record and print all.

    Args:
        comparison: Which.
        home: Where cells and tables are kept.
        console: Told of progress and result.

    Returns:
        As `table.as_frame` gives it.
    """
    tracking.connect(home, EXPERIMENT)
    parameters = {**asdict(comparison.plan), **comparison.study.described}
    with (
        progress_display(console) as progress,
        tracking.run(comparison.name, parameters, dict(comparison.tags)) as run,
    ):
        store = CellStore(home.compression / "cells" / comparison.cells)
        reporter = ProgressReporter(progress)
        measurement = Measurement(comparison.study, comparison.plan, store, reporter)
        frame = table.as_frame(measurement.rows())
        out = home.compression / comparison.name
        files = _write(frame, comparison, out)
        _record(frame, comparison, files)
    _print(frame, comparison, console)
    console.print(f"run: {run.info.run_id}   tables: {out}", soft_wrap=True)
    return frame


def _write(frame: pd.DataFrame, comparison: Comparison, out: Path) -> list[Path]:
    """Write `cells.csv`, `tables.md` and the charts."""
    texts = {"cells.csv": frame.to_csv(index=False), "tables.md": _markdown(frame, comparison)}
    files = []
    for name, text in texts.items():
        with atomic_file(out / name) as partial:
            partial.write_text(text, encoding="utf-8")
        files.append(out / name)
    for stages in comparison.plan.stages:
        drawn = {f"costs-{stages}-stage.png": charts.costs(frame, stages, comparison.title)}
        for shown in comparison.reported:
            name = f"{shown.figure.removeprefix('test_')}-{stages}-stage.png"
            drawn[name] = charts.quality_by_sparsity(
                frame, shown.figure, shown.label, comparison.dense[shown.figure], stages,
                comparison.title, shown.scale,
            )  # fmt: skip
        for name, figure in drawn.items():
            figure.savefig(out / name)
            files.append(out / name)
    return files


def _markdown(frame: pd.DataFrame, comparison: Comparison) -> str:
    parts = []
    for shown in comparison.reported:
        parts.append(f"{_heading(shown, comparison)}.\n")
        for stages in comparison.plan.stages:
            number = len(comparison.plan.seeds)
            spread = f"mean{'' if shown.has_interval else ' ± s.d.'} over {number} seeds"
            parts.append(f"Stages: {stages}; {spread if number > 1 else 'one seed'}.\n")
            parts.append(table.markdown(_to_read(frame, shown, stages)))
    return "\n".join(parts)


def _record(frame: pd.DataFrame, comparison: Comparison, files: list[Path]) -> None:
    main = comparison.reported[0]
    tracking.log_metrics({f"dense_{name}": value for name, value in comparison.dense.items()})
    for shown in comparison.reported:
        tracking.log_metrics(table.metrics(frame, shown.figure))
    tracking.describe_run(_to_read(frame, main, comparison.plan.stages[0]))
    for path in files:
        tracking.log_file(path, "tables" if path.suffix != ".png" else "plots")


def _print(frame: pd.DataFrame, comparison: Comparison, console: Console) -> None:
    # Intervals are too wide for a terminal; they stand in `tables.md` and MLflow.
    for shown in (each for each in comparison.reported if not each.has_interval):
        console.print(_heading(shown, comparison))
        for stages in comparison.plan.stages:
            of_stages = _to_read(frame, shown, stages)
            title = "at once" if stages == 1 else f"{stages} stages"
            console.print(table.for_terminal(of_stages, title))


def _heading(shown: Reported, comparison: Comparison) -> str:
    dense = shown.scale * comparison.dense[shown.figure]
    return f"{comparison.title}, {shown.label}; dense: {dense:.{_decimals(shown)}f}"


def _to_read(frame: pd.DataFrame, shown: Reported, stages: int) -> pd.DataFrame:
    return table.to_read(
        frame, shown.figure, stages, shown.scale, _decimals(shown), shown.has_interval
    )


def _decimals(shown: Reported) -> int:
    """Four digits behind the point of what is below 1, as much of a percentage."""
    return 2 if shown.scale == 100 else 4
