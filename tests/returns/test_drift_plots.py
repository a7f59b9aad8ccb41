from datetime import date

import numpy as np

from returns.drift import Drift, Level
from returns.drift_plots import (
    MOST_SHOWN,
    drift_over_time,
    drift_overview,
    drift_shares,
    losses_over_time,
)
from returns.protocol import Protocol


def drifts(number: int) -> dict[str, Drift]:
    return {
        f"column {place}": Drift(
            psi=0.1 * place,
            p_value=0.5,
            adjusted_p_value=0.5,
            level=list(Level)[place % 4],
            bins=("to 1", "over 1"),
            reference=(0.5, 0.5),
            current=(0.5 - 0.01 * place, 0.5 + 0.01 * place),
        )
        for place in range(number)
    }


def test_the_overview_shows_every_column_the_most_moved_on_top():
    figure = drift_overview(drifts(9), Protocol.STRICT, "orders")
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"column {place}" for place in range(8, -1, -1)]
    lengths = [patch.get_width() for patch in axes.containers[0]]
    assert np.allclose(lengths, [0.1 * place for place in range(8, -1, -1)])
    assert "strict protocol, orders" in axes.get_title()


def test_the_shares_of_the_most_moved_columns_are_drawn():
    figure = drift_shares(drifts(9), Protocol.STRICT, "orders")
    assert len(figure.axes) == MOST_SHOWN
    first = figure.axes[0]
    assert first.get_title().startswith("column 8: PSI 0.800")
    heights = [bar.get_height() for container in first.containers for bar in container]
    assert np.allclose(heights, [0.5, 0.5, 0.42, 0.58])


def test_an_odd_number_of_columns_leaves_a_place_empty():
    figure = drift_shares(drifts(3), Protocol.STRICT, "orders")
    assert [axes.axison for axes in figure.axes] == [True, True, True, False]


DAYS = [date(2013, 1, 7), date(2013, 1, 14), date(2013, 1, 21)]


def test_drift_over_time_has_the_most_moved_column_on_top_and_every_figure():
    psi = {"price": [0.01, 0.02, 0.03], "item": [0.5, np.nan, 0.7]}
    figure = drift_over_time(psi, DAYS, Protocol.STRICT, "orders")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["item", "price"]
    assert [text.get_text() for text in axes.texts] == ["0.50", "0.70", "0.01", "0.02", "0.03"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["07 Jan", "14 Jan", "21 Jan"]


def test_losses_over_time_show_when_the_champion_was_replaced():
    losses = {"served": [0.66, 0.65, 0.64], "never replaced": [0.66, 0.67, 0.68]}
    figure = losses_over_time(losses, DAYS, DAYS[1:], Protocol.STRICT, "orders")
    (axes,) = figure.axes
    drawn = {line.get_label(): line for line in axes.lines}
    assert list(drawn["never replaced"].get_ydata()) == losses["never replaced"]
    promotions = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2]
    assert promotions == [1, 2]
    assert axes.get_legend() is not None
