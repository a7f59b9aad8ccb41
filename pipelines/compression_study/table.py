"""Tables of a pruning study: one row for each method, number of stages and sparsity."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.compression_study.measuring import Row


def as_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """All figures of all rows.

    Returns:
        Columns `method`, `stages`, `sparsity`, those of the setting, `seeds`, `seconds`,
        `curvature_mib`, and for each figure its mean and, as `..._deviation`, its standard
        deviation over seeds (NaN with one seed).
    """
    return pd.DataFrame([_flat(row) for row in rows])


def to_read(
    frame: pd.DataFrame,
    figure: str,
    stages: int,
    scale: float = 100,
    decimals: int = 2,
    has_interval: bool = False,
) -> pd.DataFrame:
    """Mean and deviation, or interval, of a figure: methods by sparsities.

    Args:
        frame: As `as_frame` gives it.
        figure: Its name.
        stages: Which rows.
        scale: What figures are multiplied by; 100 for percentages.
        decimals: Digits behind the point.
        has_interval: Whether columns `..._low` and `..._high` are shown, means over seeds as well,
            and not the deviation.
    """
    chosen = frame[frame["stages"] == stages]
    parts = ("_low", "_high") if has_interval else ("_deviation",)
    text = {
        (row["method"], f"{row['sparsity']:.0%}"): _cell(
            [scale * row[f"{figure}{part}"] for part in ("", *parts)], decimals
        )
        for row in chosen.to_dict("records")
    }
    methods = list(dict.fromkeys(chosen["method"]))
    sparsities = [f"{value:.0%}" for value in sorted(set(chosen["sparsity"]))]
    cells = [[text.get((method, sparsity), "") for sparsity in sparsities] for method in methods]
    return pd.DataFrame(cells, index=pd.Index(methods, name="method"), columns=sparsities)


def markdown(table: pd.DataFrame) -> str:
    """A table to read, as Markdown."""
    heading = [table.index.name or "", *table.columns]
    lines: list[Sequence[object]] = [heading, ["---", *["---:"] * len(table.columns)]]
    lines += [[name, *row] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def for_terminal(table: pd.DataFrame, title: str | None = None) -> Table:
    """A table to read, as a terminal shows it: no cell is broken."""
    printed = Table(title=title, box=SIMPLE_HEAD, padding=0)
    printed.add_column(str(table.index.name or ""), no_wrap=True)
    for column in table.columns:
        printed.add_column(column, justify="right", no_wrap=True)
    for name, row in table.iterrows():
        printed.add_row(str(name), *row)
    return printed


def metrics(frame: pd.DataFrame, figure: str) -> Mapping[str, float]:
    """Means of a figure under names for MLflow."""
    return {
        f"{figure}/{row['method']}/{row['stages']}-stage/{100 * row['sparsity']:g}": row[figure]
        for row in frame.to_dict("records")
    }


def _flat(row: Row) -> dict[str, object]:
    names = row.cells[0].figures if row.cells else {}
    figures: dict[str, object] = {}
    for name in names:
        values = np.array([cell.figures.get(name, np.nan) for cell in row.cells])
        figures[name] = float(values.mean())
        figures[f"{name}_deviation"] = float(values.std(ddof=1)) if len(values) > 1 else np.nan
    return {
        "method": row.method,
        "stages": row.stages,
        "sparsity": row.sparsity,
        **asdict(row.setting),
        "seeds": len(row.cells),
        "seconds": float(np.mean([cell.seconds for cell in row.cells])),
        "curvature_mib": float(np.mean([cell.curvature_mib for cell in row.cells])),
        **figures,
    }


def _cell(numbers: Sequence[float], decimals: int) -> str:
    """A mean alone, with its deviation where there is one, or with both ends of its interval."""
    mean, *others = (f"{number:.{decimals}f}" for number in numbers)
    if len(others) == 2:
        return f"{mean} [{others[0]}, {others[1]}]"
    return mean if np.isnan(numbers[1]) else f"{mean} ± {others[0]}"
