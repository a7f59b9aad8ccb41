"""Figures of measurements, drawn without any global plotting state."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.benchmarks.measurement import ROOFLINE, Measurement
from pipelines.benchmarks.table import compared_quantities, spoken
from returns.figure_style import COLOURS, GREY, LINE_STYLES, new_figure

MARKERS = "osD^vP"


def bars(measurements: Sequence[Measurement], title: str) -> Figure:
    """Bars of each contender at each task, a panel for each quantity; whiskers are quartiles.

    Args:
        measurements: Of one case.
        title: What stands above.
    """
    quantities = compared_quantities(measurements)
    contenders = list(dict.fromkeys(row.contender for row in measurements))
    most = max(sum(row.quantity == quantity for row in measurements) for quantity in quantities)
    figure = new_figure((1.5 + 3.2 * len(quantities), 1.4 + 0.36 * most))
    panels = figure.subplots(1, len(quantities), squeeze=False)[0]
    for axes, quantity in zip(panels, quantities, strict=True):
        _draw_bars(axes, [row for row in measurements if row.quantity == quantity], contenders)
        axes.set_xlabel(quantity)
    figure.suptitle(title, fontsize=11)
    return figure


def growth_lines(
    stages: Mapping[str, tuple[Sequence[tuple[float, float]], float]], quantity: str
) -> Figure:
    """A quantity of each stage against the number of events, both on logarithmic axes.

    Args:
        stages: By name: number of events and figure at each size, and the fitted exponent.
        quantity: What the figures are.
    """
    figure = new_figure((6.4, 4.8))
    axes = figure.subplots()
    for number, (name, (points, exponent)) in enumerate(stages.items()):
        sizes, values = np.array(points).T
        axes.loglog(
            sizes,
            values,
            marker=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            linestyle=LINE_STYLES[number % len(LINE_STYLES)],
            label=f"{name}: exponent {exponent:.2f}",
        )
    lowest = min(points[0][1] for points, _ in stages.values())
    axes.loglog(sizes, lowest * sizes / sizes[0], color=GREY, linestyle=":", label="exponent 1")
    axes.set(xlabel="Events (synthetic twin)", ylabel=quantity)
    axes.set_title(f"Growth with the number of events: {quantity}", fontsize=11)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_bars(axes: Axes, rows: Sequence[Measurement], contenders: Sequence[str]) -> None:
    places = np.arange(len(rows))
    median = np.array([row.spread.median for row in rows])
    low = median - np.array([row.spread.low for row in rows])
    high = np.array([row.spread.high for row in rows]) - median
    colours = [
        GREY if row.contender == ROOFLINE else COLOURS[contenders.index(row.contender) % 6]
        for row in rows
    ]
    axes.barh(places, median, xerr=np.stack([low, high]), color=colours, capsize=2, height=0.7)
    for place, value in zip(places, median, strict=True):
        axes.annotate(
            spoken(value), (value, place), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=8,
        )  # fmt: skip
    axes.set_yticks(places, [f"{row.subject}\n{row.contender}" for row in rows], fontsize=7)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_xlim(left=0)
