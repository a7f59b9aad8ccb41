"""Figures of how far columns have moved: an overview, and the shares of those that moved most."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from returns.drift import MAJOR, MODERATE, Drift, Level
from returns.figure_style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    line_styles,
    new_figure,
    set_title,
    tag,
)
from returns.protocol import Protocol

COLOUR_OF = {
    Level.STABLE: GREEN,
    Level.MINOR: SKY,
    Level.MODERATE: ORANGE,
    Level.MAJOR: VERMILION,
}

MOST_SHOWN = 6
"""Columns whose shares are drawn."""


def drift_overview(drifts: Mapping[str, Drift], protocol: Protocol, source: str) -> Figure:
    """Population stability index of every column, coloured by the verdict.

    Args:
        drifts: Drift of each column.
        protocol: What the model was allowed to see.
        source: Where the events come from.
    """
    ordered = _most_first(drifts)
    figure = new_figure((7.2, 1.6 + 0.26 * len(ordered)))
    axes = figure.subplots()
    places = np.arange(len(ordered))
    sizes = [drift.psi for drift in ordered.values()]
    axes.barh(places, sizes, color=[COLOUR_OF[drift.level] for drift in ordered.values()])
    for limit in (MODERATE, MAJOR):
        axes.axvline(limit, color=GREY, linewidth=1, linestyle=":")
    axes.set(yticks=places, yticklabels=list(ordered), xlabel="Population stability index")
    axes.invert_yaxis()
    axes.legend(
        handles=[Patch(color=colour, label=level.value) for level, colour in COLOUR_OF.items()],
        loc="lower right",
        frameon=False,
    )
    set_title(axes, "How far each column has moved", protocol, source)
    return figure


def drift_shares(drifts: Mapping[str, Drift], protocol: Protocol, source: str) -> Figure:
    """Shares before and now of the columns that moved most.

    Args:
        drifts: Drift of each column.
        protocol: What the model was allowed to see.
        source: Where the events come from.
    """
    shown = list(_most_first(drifts).items())[:MOST_SHOWN]
    num_rows = (len(shown) + 1) // 2
    figure = new_figure((9.6, 1.0 + 2.8 * num_rows))
    grid = figure.subplots(num_rows, 2, squeeze=False).ravel()
    for axes, (name, drift) in zip(grid, shown, strict=False):
        _shares(axes, name, drift)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(f"Columns that moved most\n{tag(protocol, source)}", fontsize=11)
    return figure


def drift_over_time(
    psi: Mapping[str, Sequence[float]], days: Sequence[date], protocol: Protocol, source: str
) -> Figure:
    """Population stability index of every column, measured again and again.

    Args:
        psi: Of each column, one value per day; NaN where it was not measured.
        days: When it was measured.
        protocol: What the model was allowed to see.
        source: Where the events come from.
    """
    ordered = dict(sorted(psi.items(), key=lambda item: -np.nanmean(item[1])))
    figure = new_figure((6.0 + 0.45 * len(days), 1.6 + 0.34 * len(ordered)))
    axes = figure.subplots()
    values = np.array(list(ordered.values()), dtype=np.float64)
    image = axes.imshow(values, aspect="auto", cmap="viridis", norm=Normalize(0, 2 * MAJOR))
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "white" if value < MAJOR else "black"
            text = f"{value:.2f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    axes.set_yticks(range(len(ordered)), list(ordered))
    axes.set_xticks(range(len(days)), _spoken_days(days), rotation=45, ha="right")
    figure.colorbar(image, extend="max", label="Population stability index")
    set_title(axes, "How far each column had moved", protocol, source)
    return figure


def losses_over_time(
    losses: Mapping[str, Sequence[float]],
    days: Sequence[date],
    promotions: Sequence[date],
    protocol: Protocol,
    source: str,
) -> Figure:
    """Cross-entropy on the events that followed each day.

    Args:
        losses: Of each way of serving, one value per day, in nats.
        days: First day of each period.
        promotions: Days on which the champion was replaced, drawn as vertical lines.
        protocol: What the models were allowed to see.
        source: Where the events come from.
    """
    figure = new_figure((7.6, 4.0))
    axes = figure.subplots()
    places = np.arange(len(days))
    replaced = [days.index(day) for day in promotions]
    for place in replaced:
        label = "promotion" if place == replaced[0] else None
        axes.axvline(place, color=GREY, linewidth=1, linestyle=":", label=label)
    for (name, values), style in zip(losses.items(), line_styles(), strict=False):
        axes.plot(places, values, marker="o", markersize=4, label=name, **style)
    axes.set_xticks(places, _spoken_days(days), rotation=45, ha="right")
    axes.set(ylabel="Cross-entropy in nats", xlabel="Week from")
    axes.legend(frameon=False)
    set_title(axes, "What was served, and what would have been", protocol, source)
    return figure


def _spoken_days(days: Sequence[date]) -> list[str]:
    return [f"{day:%d %b}" for day in days]


def _shares(axes: Axes, name: str, drift: Drift) -> None:
    places = np.arange(len(drift.bins))
    axes.bar(places - 0.2, drift.reference, width=0.4, color=BLUE, label="before")
    axes.bar(places + 0.2, drift.current, width=0.4, color=ORANGE, label="now")
    axes.set_xticks(places, drift.bins, rotation=45, ha="right", fontsize=7)
    axes.set_ylabel("Share of events")
    axes.set_title(f"{name}: PSI {drift.psi:.3f}, {drift.level}", fontsize=9)


def _most_first(drifts: Mapping[str, Drift]) -> dict[str, Drift]:
    return dict(sorted(drifts.items(), key=lambda item: -item[1].psi))
