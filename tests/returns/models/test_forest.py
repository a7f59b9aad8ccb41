from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.ensemble import RandomForestClassifier

from data.reporter import SilentReporter
from returns.event_set import EventSet
from returns.models.forest import ARRAYS, Forest


@pytest.fixture(scope="module")
def forest(train: EventSet, validation: EventSet) -> Forest:
    model = Forest(seed=0, num_trees=45, max_depth=6)
    model.fit(train, validation, SilentReporter())
    return model


def level_rate_matrix(events: EventSet, train: EventSet, prior: float) -> np.ndarray:
    """Numeric columns and shrunk return rates of levels, one level at a time."""
    columns = [events.features.numeric]
    overall = train.labels.mean()
    for column in range(events.features.categorical.shape[1]):
        rate = np.full(len(events), np.nan)
        for level in range(len(events.features.levels[column])):
            with_level = train.labels[train.features.categorical[:, column] == level]
            here = events.features.categorical[:, column] == level
            rate[here] = (with_level.sum() + prior * overall) / (len(with_level) + prior)
        columns.append(rate[:, None])
    return np.concatenate(columns, axis=1).astype(np.float32)


def test_it_is_the_library_forest_grown_at_once(
    forest: Forest, train: EventSet, test_events: EventSet
) -> None:
    """Growing in batches, storing arrays and averaging by hand change nothing."""
    referee = RandomForestClassifier(
        n_estimators=45,
        max_depth=6,
        min_samples_leaf=forest.min_samples_leaf,
        max_features=forest.column_share,
        max_samples=len(train),
        random_state=0,
    )
    matrix = level_rate_matrix(train, train, forest.level_prior)
    referee.fit(matrix, train.labels, sample_weight=train.weights)
    expected = referee.predict_proba(level_rate_matrix(test_events, train, forest.level_prior))
    np.testing.assert_allclose(forest.predict_proba(test_events), expected[:, 1], atol=1e-12)


def test_tampered_trees_are_refused(forest: Forest, tmp_path: Path) -> None:
    forest.save(tmp_path)
    arrays = load_file(tmp_path / ARRAYS)
    inner = np.flatnonzero(arrays["left"] >= 0)[0]
    arrays["left"][inner] = 10**6
    save_file(arrays, tmp_path / ARRAYS)
    with pytest.raises(ValueError, match="'left' is out of range"):
        Forest.load(tmp_path)
