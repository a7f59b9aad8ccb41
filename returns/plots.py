"""Figures of how well return probabilities predict."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from returns.evaluation import Estimate, Report
from returns.figure_style import (
    BLUE,
    COLOURS,
    GREY,
    SKY,
    VERMILION,
    line_styles,
    new_figure,
    set_title,
    square_figure,
    tag,
)
from returns.metrics import CALIBRATION_BINS, EventSums, ScoreBins, ScoredEvents, Totals, ratio
from returns.protocol import Protocol

CURVE_POINTS = 500
"""Points of a curve; each is exact, those between are left out."""

HISTOGRAM_BINS = 50

Scores = Mapping[str, np.ndarray]
"""Probabilities `(num_events,)` of the same events by model name."""


def roc_curves(labels: np.ndarray, scores: Scores, protocol: Protocol, source: str) -> Figure:
    """Receiver operating characteristic of each model, its area in the legend.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        scores: Probabilities of each model.
        protocol: What the models were allowed to see.
        source: Where the events come from.
    """
    figure, axes = square_figure("ROC", protocol, source)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    for model, totals, style in _model_totals(labels, scores):
        true = _from_zero(totals.positives[::-1])
        false = _from_zero(totals.negatives[::-1])
        area = float(totals.metrics()["roc_auc"])
        axes.plot(false / false[-1], true / true[-1], label=f"{model}  {area:.3f}", **style)
    axes.set(xlabel="Share of kept events called returns", ylabel="Share of returns found (recall)")
    axes.legend(title="Area under the curve", loc="lower right", frameon=False)
    return figure


def precision_recall_curves(
    labels: np.ndarray, scores: Scores, protocol: Protocol, source: str
) -> Figure:
    """Precision against recall of each model, its average precision in the legend.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        scores: Probabilities of each model.
        protocol: What the models were allowed to see.
        source: Where the events come from.
    """
    figure, axes = square_figure("Precision and recall", protocol, source)
    base_rate = float(np.mean(labels))
    axes.axhline(base_rate, color=GREY, linewidth=1, linestyle=":")
    axes.annotate(f"base rate {base_rate:.3f}", (0.01, base_rate - 0.03), color=GREY)
    for model, totals, style in _model_totals(labels, scores):
        true = np.cumsum(totals.positives[::-1])
        called = true + np.cumsum(totals.negatives[::-1])
        average = float(totals.metrics()["average_precision"])
        recall = true / true[-1]
        axes.plot(recall, ratio(true, called), label=f"{model}  {average:.3f}", **style)
    axes.set(xlabel="Recall", ylabel="Precision")
    axes.legend(title="Average precision", loc="lower left", frameon=False)
    return figure


def reliability_diagram(
    labels: np.ndarray, probabilities: np.ndarray, model: str, protocol: Protocol, source: str
) -> Figure:
    """Observed return rate against predicted probability, over the number of events.

    Bins are those of the expected calibration error; bars are 95 % Wilson intervals of a bin's
    rate, which treat events as independent.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        probabilities: Of a return, `(num_events,)`.
        model: Name of the model.
        protocol: What the model was allowed to see.
        source: Where the events come from.
    """
    figure = new_figure((5.2, 6.6))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    place = np.minimum((probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    count = np.bincount(place, minlength=CALIBRATION_BINS)
    used = count > 0
    mean = np.bincount(place, probabilities, minlength=CALIBRATION_BINS)[used] / count[used]
    rate = np.bincount(place, labels, minlength=CALIBRATION_BINS)[used] / count[used]
    low, high = _wilson_interval(rate, count[used])
    error = np.clip(np.stack([rate - low, high - rate]), 0, None)
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    upper.errorbar(mean, rate, error, color=BLUE, marker="o", markersize=4, capsize=2)
    upper.set(ylabel="Observed return rate", xlim=(0, 1), ylim=(0, 1))
    lower.stairs(count / len(labels), edges, fill=True, color=SKY)
    lower.set(xlabel="Predicted probability of a return", ylabel="Share of events")
    metrics = ScoredEvents.of(labels, probabilities, 0.5).metrics()
    text = f"ECE {metrics['ece']:.4f}\nBrier {metrics['brier']:.4f}"
    upper.annotate(text, (0.04, 0.88), xycoords="axes fraction")
    set_title(upper, f"Reliability: {model}", protocol, source)
    return figure


def score_distribution(
    labels: np.ndarray, probabilities: np.ndarray, model: str, protocol: Protocol, source: str
) -> Figure:
    """Distribution of predicted probabilities of returned and of kept events.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        probabilities: Of a return, `(num_events,)`.
        model: Name of the model.
        protocol: What the model was allowed to see.
        source: Where the events come from.
    """
    figure = new_figure((6.4, 4.0))
    axes = figure.subplots()
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    for label, name, colour, line in ((0, "kept", BLUE, "-"), (1, "returned", VERMILION, "--")):
        of_class = probabilities[labels == label]
        density = np.histogram(of_class, edges)[0] * HISTOGRAM_BINS / max(len(of_class), 1)
        axes.stairs(density, edges, fill=True, facecolor=colour, alpha=0.25)
        title = f"{name} ({len(of_class):,})"
        axes.stairs(density, edges, color=colour, linestyle=line, linewidth=1.8, label=title)
    axes.set(xlabel="Predicted probability of a return", ylabel="Density", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    set_title(axes, f"Scores by outcome: {model}", protocol, source)
    return figure


def learning_curve(
    history: Mapping[str, Sequence[tuple[int, float]]],
    model: str,
    protocol: Protocol,
    source: str,
) -> Figure:
    """Metrics of training steps, with the best step of each validation metric marked.

    Args:
        history: For each metric, e.g. `validation_cross_entropy`, its step and value.
        model: Name of the model.
        protocol: What the model was allowed to see.
        source: Where the events come from.
    """
    figure = new_figure((6.4, 4.0))
    axes = figure.subplots()
    for (metric, points), style in zip(history.items(), line_styles(), strict=False):
        steps, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
        marker = "o" if len(steps) <= 30 else None
        axes.plot(steps, values, marker=marker, markersize=3, label=_spoken(metric), **style)
        if metric.startswith("validation") and np.isfinite(values).any():
            best = int(np.nanargmin(values))
            axes.plot(steps[best], values[best], "*", markersize=13, color=style["color"])
            axes.annotate(
                f"{values[best]:.4f}",
                (steps[best], values[best]),
                xytext=(0, 9),
                textcoords="offset points",
                ha="center",
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="Step", ylabel="Nats per event")
    axes.margins(y=0.12)
    axes.legend(frameon=False)
    set_title(axes, f"Learning curve: {model}", protocol, source)
    return figure


def model_comparison(reports: Mapping[str, Report], protocol: Protocol, source: str) -> Figure:
    """F1 and cross-entropy of several models, each with its 95 % interval.

    Args:
        reports: Report of each model by its name.
        protocol: What the models were allowed to see.
        source: Where the events come from.
    """
    figure = new_figure((8.6, 1.7 + 0.42 * len(reports)))
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(reports))
    for metric, offset, colour, marker, label in (
        ("f1", -0.12, BLUE, "o", "F1 at 0.5"),
        ("f1_at_threshold", 0.12, VERMILION, "D", "F1 at the chosen threshold"),
    ):
        _intervals(left, places + offset, _overall(reports, metric), colour, marker, label)
    _intervals(right, places, _overall(reports, "cross_entropy"), BLUE, "o", None)
    left.set(xlabel="F1 (higher is better)", yticks=places, yticklabels=list(reports))
    left.invert_yaxis()
    right.set(xlabel="Cross-entropy in nats (lower is better)")
    for axes in (left, right):
        axes.grid(axis="x", color="#dddddd")
        axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    num_events = next(iter(reports.values())).overall.num_events
    figure.suptitle(f"Models on {num_events:,} events\n{tag(protocol, source)}", fontsize=11)
    return figure


def difference_forest(
    differences: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
    reference: str,
    protocol: Protocol,
    source: str,
) -> Figure:
    """Differences of cross-entropy and ROC AUC to a reference, each with its 95 % interval.

    Args:
        differences: Of each case by its name, for each group of events (`all` and others) the
            difference of `cross_entropy` and `roc_auc`.
        reference: Name of what they are differences to.
        protocol: What the models were allowed to see.
        source: Where the events come from.
    """
    groups = list(next(iter(differences.values())))
    figure = new_figure((9.6, 1.8 + 0.2 * (1 + len(groups)) * len(differences)))
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(differences))
    offsets = (np.arange(len(groups)) - (len(groups) - 1) / 2) * 0.8 / max(len(groups), 1)
    for axes, metric in ((left, "cross_entropy"), (right, "roc_auc")):
        axes.axvline(0, color=GREY, linewidth=1)
        for group, offset, colour, marker in zip(
            groups, offsets, cycle(COLOURS), cycle("oDs^v"), strict=False
        ):
            estimates = [of_case[group][metric] for of_case in differences.values()]
            label = f"{group} customers" if axes is left else None
            _intervals(axes, places + offset, estimates, colour, marker, label)
        axes.grid(axis="x", color="#dddddd")
        axes.set_axisbelow(True)
        axes.locator_params(axis="x", nbins=6)
    left.set(xlabel="Cross-entropy in nats (right of 0 is worse)")
    left.set(yticks=places, yticklabels=list(differences))
    left.invert_yaxis()
    right.set(xlabel="ROC AUC (left of 0 is worse)")
    figure.legend(loc="outside lower center", ncols=len(groups), frameon=False)
    figure.suptitle(f"Difference to {reference}\n{tag(protocol, source)}", fontsize=11)
    return figure


def optimisation_history(losses: np.ndarray, model: str, protocol: Protocol, source: str) -> Figure:
    """Validation cross-entropy of each trial of tuning, and of the best so far.

    Trials far above the median, which would flatten all others, are triangles at the upper edge.

    Args:
        losses: In the order of the trials, the model's defaults first, `(num_trials,)`; infinite
            where a fit diverged.
        model: Name of the model.
        protocol: What the model was allowed to see.
        source: Where the events come from.
    """
    figure = new_figure((6.4, 4.0))
    axes = figure.subplots()
    trials = np.arange(len(losses))
    best = np.minimum.accumulate(losses)
    finite = np.isfinite(losses)
    ceiling = losses[0]
    if finite.any():
        ceiling = max(ceiling, best[-1] + 4 * (np.median(losses[finite]) - best[-1]))
    shown = finite & (losses <= ceiling)
    axes.axhline(losses[0], color=GREY, linewidth=1, linestyle=":", label="defaults")
    axes.plot(trials[shown], losses[shown], "o", markersize=4, color=SKY, label="trial")
    label = f"best so far, at last {best[-1]:.4f}"
    axes.step(trials, best, where="post", color=BLUE, linewidth=1.8, label=label)
    axes.margins(y=0.12)
    top = axes.get_ylim()[1]
    if not shown.all():
        height = np.full(np.count_nonzero(~shown), top)
        label = "trial above"
        axes.plot(trials[~shown], height, "^", color=VERMILION, clip_on=False, label=label)
    axes.set_ylim(top=top)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="Trial", ylabel="Validation cross-entropy in nats")
    axes.legend(frameon=False)
    set_title(axes, f"Tuning: {model}", protocol, source)
    return figure


def _model_totals(
    labels: np.ndarray, scores: Scores
) -> Iterator[tuple[str, Totals, dict[str, Any]]]:
    """Each model's name, counts by score bin and line style."""
    for (model, probabilities), style in zip(scores.items(), line_styles(), strict=False):
        events = ScoredEvents.of(labels, probabilities, 0.5)
        bins = ScoreBins.coarse(events.probabilities, 0.5, CURVE_POINTS)
        yield model, EventSums.of(events, bins).totals(), style


def _from_zero(counts: np.ndarray) -> np.ndarray:
    return np.append(0.0, np.cumsum(counts))


def _wilson_interval(rate: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    normal = 1.959964
    centre = (rate + normal**2 / (2 * count)) / (1 + normal**2 / count)
    spread = np.sqrt(rate * (1 - rate) / count + normal**2 / (4 * count**2))
    half = normal * spread / (1 + normal**2 / count)
    return centre - half, centre + half


def _spoken(metric: str) -> str:
    return metric.replace("_", " ").replace("cross entropy", "cross-entropy")


def _overall(reports: Mapping[str, Report], metric: str) -> list[Estimate]:
    return [report.overall.metrics[metric] for report in reports.values()]


def _intervals(
    axes: Axes,
    places: np.ndarray,
    estimates: Sequence[Estimate],
    colour: str,
    marker: str,
    label: str | None,
) -> None:
    value = np.array([estimate.value for estimate in estimates])
    ends = np.array([[estimate.low, estimate.high] for estimate in estimates]).T
    error = np.clip([value - ends[0], ends[1] - value], 0, None)
    axes.errorbar(
        value, places, xerr=error, fmt=marker, color=colour, capsize=3, markersize=5, label=label
    )
