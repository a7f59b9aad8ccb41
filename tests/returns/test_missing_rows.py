import numpy as np
import pytest

from returns.knowledge import EventArrays
from returns.missing_rows import MissingRowWeights


def test_weighted_return_rate_does_not_depend_on_the_missing_row(undated):
    events = np.flatnonzero(undated.split_mask("train"))
    missing = undated.events["customer_row"].is_null().to_numpy()[events]
    labels = EventArrays.of(undated).returned[events].copy()
    labels[missing] = np.random.default_rng(0).random(missing.sum()) < 0.9
    weights = MissingRowWeights.fit(undated, events, labels).transform(undated, events, labels)
    rate = [np.average(labels[part], weights=weights[part]) for part in (missing, ~missing)]
    assert abs(labels[missing].mean() - labels[~missing].mean()) > 0.2
    assert rate[0] == pytest.approx(rate[1], abs=1e-6)
    assert (weights[~missing] == 1).all()
    assert weights[missing].mean() == pytest.approx(1, abs=1e-6)


def test_nothing_is_weighted_where_missing_rows_tell_nothing(dated):
    events = np.flatnonzero(dated.split_mask("train"))
    labels = EventArrays.of(dated).returned[events]
    weights = MissingRowWeights.fit(dated, events, labels)
    assert weights.returned == weights.kept == {}
    assert (weights.transform(dated, events, labels) == 1).all()
