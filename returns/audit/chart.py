"""How well each column alone tells the label, as a chart."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from returns.audit.clustered import STANDARD_ERRORS
from returns.audit.findings import ColumnAuc, ColumnKind
from returns.audit.single_columns import LARGEST_HONEST_AUC
from returns.figure_style import BLUE, GREY, SKY, VERMILION, new_figure
from returns.protocol import Protocol

MOST_COLUMNS = 30
"""Columns drawn, the most telling ones."""


def column_auc_chart(columns: Sequence[ColumnAuc], protocol: Protocol, source: str) -> Figure:
    """A bar per column for train and a diamond for test, with the margin of chance.

    Args:
        columns: Columns, the most telling first.
        protocol: What models may see.
        source: Where the events come from.
    """
    drawn = [column for column in columns if np.isfinite(column.train.value)][:MOST_COLUMNS]
    figure = new_figure((7.6, 1.6 + 0.24 * len(drawn)))
    axes = figure.subplots()
    places = np.arange(len(drawn))
    area = np.array([column.train.value for column in drawn])
    chance = np.array([column.train.error for column in drawn]) * STANDARD_ERRORS
    colours = [SKY if column.kind is ColumnKind.DERIVED else BLUE for column in drawn]
    axes.barh(places, area - 0.5, left=0.5, xerr=chance, color=colours, ecolor=GREY, height=0.7)
    in_test = [column.test.value for column in drawn]
    axes.plot(in_test, places, "D", color=VERMILION, markersize=4, label="test")
    axes.axvline(LARGEST_HONEST_AUC, color=GREY, linestyle="--", label="honest columns stay below")
    axes.set(yticks=places, yticklabels=[column.name for column in drawn], xlim=(0.45, 1.0))
    axes.set(xlabel=f"Area under the ROC curve; train with {STANDARD_ERRORS:g} standard errors")
    axes.invert_yaxis()
    handles = [
        Patch(color=BLUE, label="train, read from the source"),
        Patch(color=SKY, label="train, computed by this project"),
        *axes.lines,
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    axes.set_title(f"Single columns\n{protocol} protocol, {source}", fontsize=11)
    return figure
