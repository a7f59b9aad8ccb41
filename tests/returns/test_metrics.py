import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as referee

from returns.metrics import (
    CALIBRATION_BINS,
    METRICS,
    SMALLEST_PROBABILITY,
    EventSums,
    ScoreBins,
    ScoredEvents,
    cross_entropy,
)

THRESHOLD = 0.37


def synthetic_scores(seed: int, num_events: int = 400, decimals: int = 2) -> tuple[np.ndarray, ...]:
    """Labels, probabilities with ties, and weights with zeros among them."""
    random = np.random.default_rng(seed)
    probabilities = random.beta(1.2, 1.5, num_events).round(decimals).clip(0.01, 0.99)
    labels = (random.random(num_events) < probabilities).astype(np.int8)
    labels[:2] = 0, 1
    return labels, probabilities, random.integers(0, 4, num_events).astype(np.float64)


def refereed(labels: np.ndarray, p: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    figures = {
        "cross_entropy": referee.log_loss(labels, p, sample_weight=weights),
        "roc_auc": referee.roc_auc_score(labels, p, sample_weight=weights),
        "average_precision": referee.average_precision_score(labels, p, sample_weight=weights),
        "brier": referee.brier_score_loss(labels, p, sample_weight=weights),
    }
    for suffix, cut in (("", 0.5), ("_at_threshold", THRESHOLD)):
        precision, recall, f1, _ = referee.precision_recall_fscore_support(
            labels, p >= cut, sample_weight=weights, average="binary", zero_division=np.nan
        )
        figures |= {f"precision{suffix}": precision, f"recall{suffix}": recall, f"f1{suffix}": f1}
    error = 0.0
    for low in range(CALIBRATION_BINS):
        inside = np.floor(p * CALIBRATION_BINS).clip(max=CALIBRATION_BINS - 1) == low
        if weights[inside].sum() > 0:
            mean = np.average(p[inside], weights=weights[inside])
            rate = np.average(labels[inside], weights=weights[inside])
            error += abs(mean - rate) * weights[inside].sum() / weights.sum()
    return figures | {"ece": error}


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), decimals=st.integers(1, 6))
def test_every_metric_agrees_with_an_independent_referee(seed: int, decimals: int) -> None:
    labels, probabilities, weights = synthetic_scores(seed, decimals=decimals)
    weights[:2] = 1.0
    events = ScoredEvents.of(labels, probabilities, THRESHOLD)
    expected = refereed(labels, probabilities, weights)
    assert set(expected) == set(METRICS)
    assert events.metrics(weights) == pytest.approx(expected, rel=1e-12, nan_ok=True)
    equal = refereed(labels, probabilities, np.ones(len(labels)))
    assert events.metrics() == pytest.approx(equal, rel=1e-12, nan_ok=True)


def test_certain_and_wrong_costs_a_bounded_loss() -> None:
    wrong = cross_entropy(np.array([1, 0]), np.array([0.0, 1.0]))
    assert wrong == pytest.approx(-np.log(SMALLEST_PROBABILITY), rel=1e-3)
    assert cross_entropy(np.array([1, 0]), np.array([1.0, 0.0])) < 1e-14


def test_cross_entropy_is_weighted() -> None:
    labels, probabilities = np.array([1, 0]), np.array([0.25, 0.25])
    expected = -(3 * np.log(0.25) + np.log(0.75)) / 4
    assert cross_entropy(labels, probabilities, np.array([3.0, 1.0])) == pytest.approx(expected)


@pytest.mark.parametrize("label", [0, 1])
def test_a_single_class_leaves_ranking_undefined_without_a_warning(label: int) -> None:
    with np.errstate(all="raise"):
        figures = ScoredEvents.of(np.full(4, label), np.full(4, 0.4), THRESHOLD).metrics()
    assert np.isnan(figures["roc_auc"])
    assert np.isnan(figures["precision"])
    assert np.isnan(figures["recall"]) == np.isnan(figures["average_precision"]) == (label == 0)
    assert figures["cross_entropy"] > 0


def test_a_probability_on_the_threshold_decides_for_a_return() -> None:
    events = ScoredEvents.of(np.array([1, 0]), np.array([0.5, 0.25]), threshold=0.25)
    figures = events.metrics()
    assert (figures["recall"], figures["precision"]) == (1.0, 1.0)
    assert (figures["recall_at_threshold"], figures["precision_at_threshold"]) == (1.0, 0.5)


def test_coarse_bins_keep_decisions_exact_and_ranks_close() -> None:
    labels, probabilities, _ = synthetic_scores(3, num_events=20_000, decimals=9)
    events = ScoredEvents.of(labels, probabilities, THRESHOLD)
    bins = ScoreBins.coarse(probabilities, THRESHOLD, 200)
    assert bins.number <= 204
    coarse = EventSums.of(events, bins).totals().metrics()
    for name, exact in events.metrics().items():
        ranking = name in ("roc_auc", "average_precision")
        assert coarse[name] == pytest.approx(exact, abs=3e-3 if ranking else 1e-12)


def test_the_truth_gains_everything_and_the_base_rate_nothing() -> None:
    labels, truth, _ = synthetic_scores(4, num_events=20_000)
    base_rate = 0.45
    perfect = ScoredEvents.of(labels, truth, 0.5, truth, base_rate).metrics()
    assert perfect["reachable_gain_share"] == pytest.approx(1.0)
    assert perfect["reachable_cross_entropy"] == perfect["cross_entropy"]
    ignorant = np.full(len(labels), base_rate)
    nothing = ScoredEvents.of(labels, ignorant, 0.5, truth, base_rate).metrics()
    assert nothing["reachable_gain_share"] == pytest.approx(0.0)
    half = (truth + base_rate) / 2
    assert (
        0
        < ScoredEvents.of(labels, half, 0.5, truth, base_rate).metrics()["reachable_gain_share"]
        < 1
    )


def test_a_part_is_measured_like_events_of_its_own() -> None:
    labels, probabilities, _ = synthetic_scores(5)
    part = np.arange(len(labels)) % 3 == 0
    events = ScoredEvents.of(labels, probabilities, THRESHOLD, probabilities, 0.5)
    alone = ScoredEvents.of(labels[part], probabilities[part], THRESHOLD, probabilities[part], 0.5)
    assert events.part(part).metrics() == alone.metrics()


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([], [], "no events"),
        ([0, -1], [0.5, 0.5], "known label"),
        ([0, 1], [0.5], "2 labels"),
        ([0, 1], [0.5, 1.5], "outside"),
        ([0, 1], [0.5, np.nan], "outside"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    labels: list[int], probabilities: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ScoredEvents.of(np.array(labels), np.array(probabilities), 0.5)


def test_the_reachable_gain_needs_a_base_rate() -> None:
    with pytest.raises(ValueError, match="base rate"):
        ScoredEvents.of(np.array([0, 1]), np.array([0.5, 0.5]), 0.5, np.array([0.5, 0.5]))
