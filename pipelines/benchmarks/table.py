"""Measurements side by side: contenders below each other, each against the first."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import pandas as pd

from pipelines.benchmarks.measurement import BESIDE, Measurement, Spread

Item = TypeVar("Item", bound=Hashable)


def compared_quantities(measurements: Sequence[Measurement]) -> list[str]:
    """Quantities that contenders were measured in, in order of appearance."""
    return _distinct(row.quantity for row in measurements if row.contender not in BESIDE)


def ratio(measurement: Measurement, measurements: Sequence[Measurement]) -> Spread | None:
    """How many times as much as the first contender took for the same task.

    Args:
        measurement: One of the measurements.
        measurements: All of the case.

    Returns:
        None for the first contender itself.
    """
    same = (measurement.subject, measurement.quantity)
    first = next(row for row in measurements if (row.subject, row.quantity) == same)
    return None if first.contender == measurement.contender else measurement.ratio_to(first)


def long_table(case: str, measurements: Sequence[Measurement]) -> pd.DataFrame:
    """A row for each measurement: median, quartiles, number of repeats, ratio to the first."""
    rows = []
    for row in measurements:
        times = ratio(row, measurements)
        rows.append(
            {
                "case": case,
                "task": row.subject,
                "contender": row.contender,
                "quantity": row.quantity,
                "median": row.spread.median,
                "low": row.spread.low,
                "high": row.spread.high,
                "repeats": len(row.values),
                "ratio": times.median if times else 1.0,
                "ratio low": times.low if times else 1.0,
                "ratio high": times.high if times else 1.0,
            }
        )
    return pd.DataFrame(rows)


def printed_tables(measurements: Sequence[Measurement]) -> dict[str, pd.DataFrame]:
    """For each task a row for each contender and a column for each quantity, as text.

    A cell is the median, half the distance of the quartiles in per cent of it, and how many times
    as much it is as the first contender's.
    """
    compared = compared_quantities(measurements)
    chosen = [row for row in measurements if row.quantity in compared]
    tables = {}
    for task in _distinct(row.subject for row in chosen):
        rows = [row for row in chosen if row.subject == task]
        cells = {(row.contender, row.quantity): _cell(row, measurements) for row in rows}
        contenders = _distinct(row.contender for row in rows)
        quantities = _distinct(row.quantity for row in rows)
        tables[task] = pd.DataFrame(
            [[cells.get((who, what), "") for what in quantities] for who in contenders],
            index=contenders,
            columns=quantities,
        )
    return tables


def remarks(measurements: Sequence[Measurement]) -> list[str]:
    """What was measured beside the contenders, as lines."""
    quantities = compared_quantities(measurements)
    beside: dict[tuple[str, str], list[str]] = {}
    for row in measurements:
        if row.quantity not in quantities:
            figures = beside.setdefault((row.subject, row.contender), [])
            figures.append(f"{spoken(row.spread.median)} {row.quantity}")
    return [f"{', '.join(key)}: {', '.join(figures)}" for key, figures in beside.items()]


def spoken(value: float) -> str:
    """A figure in three digits, or whole if it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cell(row: Measurement, measurements: Sequence[Measurement]) -> str:
    text = spoken(row.spread.median)
    if len(row.values) > 1:
        half = (row.spread.high - row.spread.low) / 2
        text += f" ±{100 * half / row.spread.median:.0f}%"
    times = ratio(row, measurements)
    return text if times is None else f"{text}  {times.median:.2f}x"


def _distinct(items: Iterable[Item]) -> list[Item]:
    return list(dict.fromkeys(items))
