import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import norm, rankdata

from returns.dense import LARGEST_SCORE, MOST_POINTS, DenseEncoder, NormalScores
from returns.event_set import FeatureMatrix

COLUMNS = hnp.arrays(
    np.float32,
    st.integers(1, 60),
    elements=st.one_of(st.just(np.nan), st.integers(-3, 3), st.floats(-1e6, 1e6, width=32)),
)


def matrix(numeric: np.ndarray, codes: np.ndarray, num_levels: int = 3) -> FeatureMatrix:
    return FeatureMatrix(
        numeric=numeric.astype(np.float32),
        categorical=codes.astype(np.int32)[:, None],
        numeric_names=tuple(f"n{column}" for column in range(numeric.shape[1])),
        categorical_names=("kind",),
        levels=(tuple(f"level {code}" for code in range(num_levels)),),
    )


def synthetic_matrix(num_events: int = 5000) -> FeatureMatrix:
    random = np.random.default_rng(0)
    numeric = np.stack(
        [
            random.lognormal(3, 1, num_events),
            random.poisson(1, num_events),
            np.full(num_events, 7.0),
            np.where(random.random(num_events) < 0.3, np.nan, random.normal(size=num_events)),
        ],
        axis=1,
    )
    return matrix(numeric, random.integers(-1, 3, num_events))


def test_columns_are_scores_then_indicators_then_levels() -> None:
    features = synthetic_matrix()
    encoder = DenseEncoder().fit(features, np.ones(len(features)))
    dense = encoder.transform(features)
    assert encoder.names == (
        *("n0", "n1", "n2", "n3", "n3 unknown"),
        *("kind = level 0", "kind = level 1", "kind = level 2"),
    )
    assert dense.shape == (len(features), encoder.width) == (len(features), len(encoder.names))
    assert dense.dtype == np.float32
    unknown = np.isnan(features.numeric[:, 3])
    np.testing.assert_array_equal(dense[:, 4], unknown)
    assert not dense[unknown, 3].any()
    one_hot = features.categorical == np.arange(3)
    np.testing.assert_array_equal(dense[:, 5:], one_hot)


def test_a_continuous_column_becomes_standard_normal_and_a_constant_one_zero() -> None:
    features = synthetic_matrix()
    dense = DenseEncoder().fit(features, np.ones(len(features))).transform(features)
    expected = norm.ppf((rankdata(features.numeric[:, 0]) - 0.5) / len(features))
    inner = np.abs(expected) < 3
    np.testing.assert_allclose(dense[inner, 0], expected[inner], atol=0.1)
    assert abs(dense[:, 0].std() - 1) < 0.02
    assert not dense[:, 2].any()


def test_ties_share_the_score_of_their_middle_rank() -> None:
    features = synthetic_matrix()
    dense = DenseEncoder().fit(features, np.ones(len(features))).transform(features)
    expected = norm.ppf((rankdata(features.numeric[:, 1]) - 0.5) / len(features))
    np.testing.assert_allclose(dense[:, 1], expected.clip(-LARGEST_SCORE, LARGEST_SCORE), atol=1e-6)


@settings(deadline=None)
@given(column=COLUMNS, weight_seed=st.integers(0, 9))
def test_scores_rise_with_values_and_stay_bounded(column: np.ndarray, weight_seed: int) -> None:
    weights = np.random.default_rng(weight_seed).integers(0, 3, len(column)).astype(np.float32)
    scores = NormalScores.fit(column, weights)
    assert len(scores.values) <= MOST_POINTS
    assert (np.diff(scores.values) > 0).all()
    assert (np.diff(scores.scores) >= 0).all()
    assert np.abs(scores.scores).max() <= LARGEST_SCORE


@settings(deadline=None)
@given(column=COLUMNS, repeats_seed=st.integers(0, 9))
def test_a_weight_counts_like_repeated_events(column: np.ndarray, repeats_seed: int) -> None:
    repeats = np.random.default_rng(repeats_seed).integers(0, 4, len(column))
    weighted = NormalScores.fit(column, repeats.astype(np.float32))
    repeated = NormalScores.fit(np.repeat(column, repeats), np.ones(repeats.sum(), np.float32))
    np.testing.assert_array_equal(weighted.values, repeated.values)
    np.testing.assert_allclose(weighted.scores, repeated.scores, atol=1e-12)


def test_the_encoder_survives_json_to_the_last_bit() -> None:
    features = synthetic_matrix()
    encoder = DenseEncoder().fit(features, np.random.default_rng(1).random(len(features)))
    restored = DenseEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert restored.names == encoder.names
    assert restored.transform(features).tobytes() == encoder.transform(features).tobytes()


def test_rows_are_encoded_independently_of_their_neighbours() -> None:
    features = synthetic_matrix(40_000)
    encoder = DenseEncoder().fit(features, np.ones(len(features)))
    part = replace(
        features, numeric=features.numeric[30_000:], categorical=features.categorical[30_000:]
    )
    np.testing.assert_array_equal(encoder.transform(part), encoder.transform(features)[30_000:])


def test_columns_that_are_new_or_wholly_unknown_at_scoring_are_harmless() -> None:
    features = synthetic_matrix()
    encoder = DenseEncoder().fit(features, np.ones(len(features)))
    unknown = replace(
        features,
        numeric=np.full_like(features.numeric, np.nan),
        categorical=np.full_like(features.categorical, -1),
    )
    dense = encoder.transform(unknown)
    np.testing.assert_array_equal(dense[:, encoder.names.index("n3 unknown")], 1.0)
    assert dense.sum() == len(features)


def test_a_column_unknown_throughout_the_fit_encodes_as_zero() -> None:
    features = matrix(np.full((4, 1), np.nan), np.zeros(4))
    encoder = DenseEncoder().fit(features, np.ones(4))
    known = matrix(np.arange(4.0)[:, None], np.zeros(4))
    assert not encoder.transform(known)[:, 0].any()


def test_other_columns_are_refused() -> None:
    features = synthetic_matrix()
    encoder = DenseEncoder().fit(features, np.ones(len(features)))
    with pytest.raises(ValueError, match="differ from those of the fit"):
        encoder.transform(replace(features, numeric_names=("n0", "n1", "n2", "other")))
