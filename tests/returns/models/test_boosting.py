from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data.reporter import SilentReporter
from returns.event_set import EventSet
from returns.metrics import cross_entropy
from returns.models.boosting import MOST_REPORTS, RoundReports
from returns.models.lightgbm_trees import LightGBM
from returns.models.xgboost_trees import XGBoost


class LossRecorder(SilentReporter):
    """Keeps the losses of the reported rounds."""

    def __init__(self) -> None:
        self.losses: dict[int, Mapping[str, float]] = {}

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.losses[step] = values


@pytest.mark.parametrize("boosting", [XGBoost, LightGBM])
def test_the_best_number_of_trees_is_kept(
    boosting: Any, train: EventSet, validation: EventSet
) -> None:
    recorder = LossRecorder()
    model = boosting(rounds=100, patience=10, learning_rate=0.5)
    model.fit(train, validation, recorder)
    best = min(losses["validation_cross_entropy"] for losses in recorder.losses.values())
    last = max(recorder.losses)
    assert last < 50
    assert recorder.losses[last]["validation_cross_entropy"] > best
    assert recorder.losses[last]["train_cross_entropy"] < best
    kept = cross_entropy(validation.labels, model.predict_proba(validation), validation.weights)
    assert kept == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("boosting", [XGBoost, LightGBM])
def test_levels_are_split_as_sets_and_unknown_ones_are_a_level_of_their_own(
    boosting: Any, train: EventSet, validation: EventSet
) -> None:
    """Returned exactly where the level is B, D or unknown: no order of the codes can say that."""

    def relabelled(events: EventSet) -> EventSet:
        codes = events.features.categorical[:, 0]
        return replace(events, labels=np.isin(codes, [1, 3, -1]).astype(np.int8))

    model = (
        boosting(rounds=100, max_depth=1)
        if boosting is XGBoost
        else boosting(rounds=100, num_leaves=2)
    )
    model.fit(relabelled(train), relabelled(validation), SilentReporter())
    decided = model.predict_proba(validation) > 0.5
    np.testing.assert_array_equal(decided, relabelled(validation).labels == 1)


@pytest.mark.parametrize("most_rounds", [1, 7, 100, 5000])
def test_reports_are_few_and_begin_with_every_round(most_rounds: int) -> None:
    recorder = LossRecorder()
    reports = RoundReports("boosting", most_rounds, recorder)
    for rounds_done in range(1, most_rounds + 1):
        reports(rounds_done, {"train": 0.5, "validation": 0.6})
    steps = sorted(recorder.losses)
    assert len(steps) <= MOST_REPORTS
    assert steps[:5] == list(range(1, min(5, most_rounds) + 1))
    assert steps[-1] == most_rounds
