"""Charts of a pruning study: what is kept of the quality, and what it costs."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from returns.figure_style import GREY, line_styles, new_figure


def quality_by_sparsity(
    frame: pd.DataFrame,
    figure: str,
    name: str,
    dense: float,
    stages: int,
    subject: str,
    scale: float = 1.0,
) -> Figure:
    """A figure of merit against sparsity, a line for each method, the dense network's as a level.

    Args:
        frame: As `table.as_frame` gives it.
        figure: Column to draw.
        name: What the axis says.
        dense: The dense network's figure.
        stages: Which rows.
        subject: What was pruned, for the title.
        scale: What figures are multiplied by for the axis.
    """
    drawn = new_figure((7.5, 4.8))
    axes = drawn.subplots()
    axes.axhline(scale * dense, color=GREY, linewidth=1, label="dense")
    chosen = frame[frame["stages"] == stages]
    groups = chosen.groupby("method", sort=False)
    for (method, rows), style in zip(groups, line_styles(), strict=False):
        values = scale * rows[figure]
        axes.plot(100 * rows["sparsity"], values, label=str(method), marker="o", **style)
    axes.set(xlabel="sparsity in %", ylabel=name)
    axes.set_title(f"{subject}: {_described(stages)}", fontsize=11)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return drawn


def costs(frame: pd.DataFrame, stages: int, subject: str) -> Figure:
    """Time and size of the curvature of each method, mean over sparsities."""
    chosen = frame[frame["stages"] == stages]
    means = chosen.groupby("method", sort=False)[["seconds", "curvature_mib"]].mean()
    drawn = new_figure((8.5, 0.35 * len(means) + 1.6))
    labels: Mapping[str, str] = {"seconds": "seconds", "curvature_mib": "curvature in MiB"}
    panels = drawn.subplots(1, 2, sharey=True)
    for axes, (column, label) in zip(panels, labels.items(), strict=True):
        axes.barh(list(means.index.astype(str)), means[column].to_numpy(), color=GREY)
        axes.set_xlabel(label)
    panels[0].invert_yaxis()
    drawn.suptitle(f"{subject}: cost {_described(stages)}", fontsize=11)
    return drawn


def _described(stages: int) -> str:
    return "at once" if stages == 1 else f"in {stages} stages"
