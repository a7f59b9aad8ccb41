"""Money saved by intervening, against the probability from which on it is done."""

import numpy as np
from matplotlib.figure import Figure

from returns.costs import LINES, Costs
from returns.figure_style import BLUE, GREY, ORANGE, new_figure, set_title
from returns.protocol import Protocol

CURVE_POINTS = 400
"""Thresholds drawn, as far apart in rank as they can be."""


def saving_by_threshold(
    labels: np.ndarray, probabilities: np.ndarray, costs: Costs
) -> tuple[np.ndarray, np.ndarray]:
    """Saving of every threshold that parts the events in its own way.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        probabilities: Of a return, `(num_events,)`.
        costs: What an intervention costs and saves.

    Returns:
        Thresholds in descending order, the first above every probability, and the money saved on
        a thousand order lines by intervening from each on, both `(num_thresholds,)`.
    """
    order = np.argsort(-probabilities, kind="stable")
    descending = np.asarray(probabilities, np.float64)[order]
    saved = costs.saving(labels[order], np.ones(len(order), bool))
    last = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    thresholds = np.append(np.nextafter(descending[0], np.inf), descending[last])
    saving = np.append(0.0, np.cumsum(saved)[last]) * LINES / len(order)
    return thresholds, saving


def saving_curve(
    labels: np.ndarray,
    probabilities: np.ndarray,
    costs: Costs,
    model: str,
    protocol: Protocol,
    source: str,
) -> Figure:
    """Money saved on a thousand order lines against the threshold, the one of the costs marked.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        probabilities: Of a return, calibrated, `(num_events,)`.
        costs: What an intervention costs and saves.
        model: Name of the model.
        protocol: What the model was allowed to see.
        source: Where the events come from.
    """
    thresholds, saving = saving_by_threshold(labels, probabilities, costs)
    drawn = np.unique(np.linspace(0, len(thresholds) - 1, CURVE_POINTS).astype(int))
    everywhere = saving[-1]
    figure = new_figure((6.4, 4.2))
    axes = figure.subplots()
    axes.axhline(0, color=GREY, linewidth=1, label="intervene nowhere")
    axes.axhline(
        everywhere, color=GREY, linewidth=1, linestyle=":", label=f"everywhere  {everywhere:,.0f}"
    )
    axes.plot(thresholds[drawn], saving[drawn], color=BLUE, linewidth=1.8, label=model)
    # The first threshold stands for intervening nowhere, however high the one of the costs is.
    chosen = saving[np.count_nonzero(thresholds[1:] >= costs.threshold)]
    axes.plot(
        costs.threshold, chosen, "D", color=ORANGE,
        label=f"threshold of the costs {costs.threshold:.3f}:  {chosen:,.0f}",
    )  # fmt: skip
    axes.set(
        xlabel="Intervene from this probability of a return on",
        ylabel=f"Saved on {LINES} order lines in {costs.currency}",
        xlim=(0, 1),
    )
    lowest = min(everywhere, 0.0)
    highest = max(float(saving.max()), 0.0)
    axes.set_ylim(lowest - 0.08 * (highest - lowest), highest + 0.12 * (highest - lowest))
    axes.legend(frameon=False)
    set_title(axes, f"Money saved: {model}", protocol, source)
    return figure
