import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score, log_loss

from returns.calibration import FLATTEST, SHARPEST, Calibration, best_threshold
from returns.metrics import cross_entropy

PROBABILITIES = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, np.nextafter(0.5, 1)])
)


@st.composite
def weighted_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    number = draw(st.integers(2, 25))
    labels = draw(hnp.arrays(np.int8, number, elements=st.integers(0, 1)))
    probabilities = draw(hnp.arrays(np.float64, number, elements=PROBABILITIES))
    weights = draw(hnp.arrays(np.float64, number, elements=st.sampled_from([0.5, 1.0, 3.0])))
    assume(0 < labels.sum() < number)
    return labels, probabilities, weights


@settings(deadline=None, max_examples=50)
@given(weighted_scores())
def test_a_temperature_never_worsens_the_fitted_loss(
    scores: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, probabilities, weights = scores
    calibration = Calibration.fit(labels, probabilities, weights)
    before = cross_entropy(labels, Calibration().apply(probabilities), weights)
    after = cross_entropy(labels, calibration.apply(probabilities), weights)
    assert after <= before + 1e-9
    assert SHARPEST <= calibration.temperature <= FLATTEST


@settings(deadline=None, max_examples=50)
@given(weighted_scores())
def test_the_threshold_beats_every_other_cut(
    scores: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, probabilities, weights = scores

    def f1(threshold: float) -> float:
        decided = probabilities >= threshold
        return float(f1_score(labels, decided, sample_weight=weights, zero_division=0.0))

    best = f1(best_threshold(labels, probabilities, weights))
    brute_force = max(f1(threshold) for threshold in [*probabilities, 0.0, 1.0])
    assert best == pytest.approx(brute_force, abs=1e-12)


def test_a_known_temperature_is_found_again() -> None:
    random = np.random.default_rng(0)
    log_odds = random.normal(0, 1.5, 200_000)
    labels = random.random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))
    overconfident = 1 / (1 + np.exp(-2.5 * log_odds))
    calibration = Calibration.fit(labels, overconfident)
    assert calibration.temperature == pytest.approx(2.5, rel=0.02)
    calibrated = calibration.apply(overconfident)
    assert log_loss(labels, calibrated) < log_loss(labels, overconfident) - 0.05
    grid = [
        log_loss(labels, Calibration(temperature).apply(overconfident))
        for temperature in np.geomspace(1.5, 4, 30)
    ]
    assert log_loss(labels, calibrated) <= min(grid)


def test_weights_count_like_repeated_events() -> None:
    random = np.random.default_rng(1)
    probabilities = random.random(300)
    labels = (random.random(300) < probabilities**2).astype(int)
    repeats = random.integers(0, 4, 300)
    weighted = Calibration.fit(labels, probabilities, repeats)
    repeated = Calibration.fit(np.repeat(labels, repeats), np.repeat(probabilities, repeats))
    assert weighted.temperature == pytest.approx(repeated.temperature)
    assert weighted.threshold == pytest.approx(repeated.threshold)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_calibrates_nothing(label: int) -> None:
    probabilities = np.array([0.1, 0.9, 0.4])
    assert Calibration.fit(np.full(3, label), probabilities) == Calibration(1.0, 0.5)
    mixed, weights = np.array([label, label, 1 - label]), np.array([1.0, 2.0, 0.0])
    assert Calibration.fit(mixed, probabilities, weights) == Calibration(1.0, 0.5)


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ValueError, match="known label"):
        Calibration.fit(np.array([0, 1, -1]), np.array([0.1, 0.9, 0.4]))


def test_equal_scores_keep_their_temperature() -> None:
    calibration = Calibration.fit(np.array([0, 1, 1]), np.full(3, 0.5))
    assert calibration == Calibration(temperature=1.0, threshold=0.25)


def test_a_separable_or_reversed_ranking_ends_at_the_range() -> None:
    labels, probabilities = np.array([0, 0, 1, 1]), np.array([0.2, 0.4, 0.6, 0.8])
    assert Calibration.fit(labels, probabilities).temperature == SHARPEST
    assert Calibration.fit(1 - labels, probabilities).temperature == FLATTEST


def test_certain_probabilities_stay_finite() -> None:
    calibrated = Calibration(temperature=2.0).apply(np.array([0.0, 0.5, 1.0]))
    assert np.isfinite(calibrated).all()
    assert 0 < calibrated[0] < calibrated[1] == 0.5 < calibrated[2] < 1


def test_a_decision_includes_the_threshold() -> None:
    np.testing.assert_array_equal(
        Calibration(threshold=0.4).decide(np.array([0.39, 0.4, 0.41])), [False, True, True]
    )


def test_calibration_survives_json_to_the_last_bit() -> None:
    calibration = Calibration(temperature=1 / 3, threshold=0.1 + 0.2)
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration
