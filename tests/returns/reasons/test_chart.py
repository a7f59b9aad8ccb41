import numpy as np

from returns.event_set import FeatureMatrix
from returns.protocol import Protocol
from returns.reasons.chart import MOST_CAUSES, reasons_chart, spread
from returns.reasons.contributions import Contributions


def test_the_strongest_causes_are_on_top() -> None:
    random = np.random.default_rng(0)
    names = tuple(f"column {number}" for number in range(30))
    numeric = random.normal(size=(400, 30)).astype(np.float32)
    numeric[::3, 29] = np.nan
    features = FeatureMatrix(numeric, np.zeros((400, 0), np.int32), names, (), ())
    log_odds = np.nan_to_num(numeric) * np.linspace(0, 1, 30)
    account = Contributions((*names[:29], "customer"), log_odds, np.zeros(400))
    figure = reasons_chart(account, features, "gnn", Protocol.STRICT, "synthetic")
    left, right = figure.axes
    labels = [text.get_text() for text in left.get_yticklabels()]
    assert len(labels) == MOST_CAUSES
    strength = np.abs(log_odds).mean(axis=0)
    assert labels == [account.causes[place] for place in np.argsort(-strength)[:MOST_CAUSES]]
    assert "customer" in labels
    assert left.get_ylim()[0] > left.get_ylim()[1]
    assert len(right.collections) == MOST_CAUSES
    assert "strict protocol, synthetic" in right.get_title()
    figure.canvas.draw()


def test_rows_are_spread_evenly() -> None:
    assert spread(4, 10).tolist() == [0, 1, 2, 3]
    assert spread(101, 5).tolist() == [0, 25, 50, 75, 100]
    assert spread(0, 5).tolist() == []
