"""Which causes move a model's predictions, as a chart."""

import numpy as np
from matplotlib.figure import Figure

from returns.event_set import FeatureMatrix
from returns.figure_style import BLUE, GREY, ORANGE, new_figure, set_title
from returns.protocol import Protocol
from returns.reasons.contributions import Contributions

MOST_CAUSES = 20
"""Causes drawn, the strongest ones."""

MOST_EVENTS = 2000
"""Events whose contributions are drawn as dots, evenly spread over the order given."""


def reasons_chart(
    contributions: Contributions,
    features: FeatureMatrix,
    model: str,
    protocol: Protocol,
    source: str,
) -> Figure:
    """A row per cause: its mean strength as a bar, and what it adds to each event as dots.

    Dots are orange where a quantity is above its median, blue below, grey where it is unknown, a
    level, or no feature column.

    Args:
        contributions: To the log-odds of events.
        features: Feature columns of the same events.
        model: Name of the model.
        protocol: What the model was allowed to see.
        source: Where the events come from.
    """
    strength = np.abs(contributions.log_odds).mean(axis=0)
    drawn = np.argsort(-strength, kind="stable")[:MOST_CAUSES]
    figure = new_figure((9.0, 1.6 + 0.26 * len(drawn)))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.6])
    places = np.arange(len(drawn))
    left.barh(places, strength[drawn], color=BLUE, height=0.7)
    left.set(xlabel="Mean strength\nin log-odds", yticks=places)
    left.set_yticklabels([contributions.causes[cause] for cause in drawn], fontsize=8)
    left.invert_yaxis()
    rows = spread(len(contributions), MOST_EVENTS)
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(rows))
    right.axvline(0, color=GREY, linewidth=1)
    for place, cause in zip(places, drawn, strict=True):
        colours = _colours(features, contributions.causes[cause], rows)
        right.scatter(
            contributions.log_odds[rows, cause], place + jitter, c=colours, s=3, linewidths=0,
            rasterized=True,
        )  # fmt: skip
    right.set(xlabel="Added to the log-odds\n(orange: high value, blue: low)")
    set_title(right, f"Reasons: {model}", protocol, source)
    return figure


def spread(number: int, most: int) -> np.ndarray:
    """At most so many of the integers below a number, evenly spread, int64."""
    return np.unique(np.linspace(0, number - 1, min(number, most)).astype(np.int64))


def _colours(features: FeatureMatrix, cause: str, rows: np.ndarray) -> np.ndarray:
    colours = np.full(len(rows), GREY, dtype=object)
    if cause in features.numeric_names:
        values = features.numeric[rows, features.numeric_names.index(cause)]
        known = ~np.isnan(values)
        if known.any():
            middle = np.median(values[known])
            colours[known & (values > middle)] = ORANGE
            colours[known & (values <= middle)] = BLUE
    return colours
