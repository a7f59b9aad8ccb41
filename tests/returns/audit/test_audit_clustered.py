import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from returns.audit.clustered import clustered_auc, rate_difference

events = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 1), st.floats(0.1, 3.0)), min_size=2, max_size=40
)


@given(events)
@settings(max_examples=100, deadline=None)
def test_the_area_is_the_weighted_one_with_ties_counting_half(rows):
    scores, labels, weights = (np.array(values) for values in zip(*rows, strict=True))
    area = clustered_auc(scores, labels, weights, [np.arange(len(rows))]).value
    if len(set(labels)) < 2:
        assert np.isnan(area)
    else:
        expected = roc_auc_score(labels, scores, sample_weight=weights)
        assert area == pytest.approx(expected, abs=1e-9)


def clustered_data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores and labels that share a component within a cluster, and nothing else."""
    random = np.random.default_rng(seed)
    cluster = random.integers(0, 60, 400)
    scores = random.normal(size=60)[cluster] + 0.3 * random.normal(size=400)
    labels = random.random(400) < 1 / (1 + np.exp(-1.5 * random.normal(size=60)[cluster]))
    return scores, labels.astype(np.int8), cluster


def test_the_error_is_that_of_whole_clusters():
    """Over 300 draws without any signal, figures spread as wide as their errors say."""
    own = np.arange(400)
    ratios = {"clusters": [], "events": [], "rates": []}
    for seed in range(300):
        scores, labels, cluster = clustered_data(seed)
        weights = np.ones(400)
        area = clustered_auc(scores, labels, weights, [cluster])
        ratios["clusters"].append((area.value - 0.5) / area.error)
        naive = clustered_auc(scores, labels, weights, [own])
        ratios["events"].append((naive.value - 0.5) / naive.error)
        chosen = scores > 0
        difference = rate_difference(labels, chosen, weights, [own, cluster])
        ratios["rates"].append(difference.value / difference.error)
    assert 0.85 < np.std(ratios["clusters"]) < 1.2
    assert 0.85 < np.std(ratios["rates"]) < 1.2
    assert np.std(ratios["events"]) > 1.5


def test_the_larger_error_of_two_ways_to_cluster_counts():
    scores, labels, cluster = clustered_data(0)
    weights, own = np.ones(400), np.arange(400)
    errors = [clustered_auc(scores, labels, weights, [way]).error for way in (own, cluster)]
    assert clustered_auc(scores, labels, weights, [own, cluster]).error == max(errors)


def test_rate_difference_is_weighted_and_undefined_without_two_sides():
    labels = np.array([1, 1, 0, 0])
    chosen = np.array([True, True, True, False])
    weights = np.array([1.0, 1.0, 2.0, 5.0])
    own = [np.arange(4)]
    assert rate_difference(labels, chosen, weights, own).value == pytest.approx(0.5)
    assert np.isnan(rate_difference(labels, np.ones(4, bool), weights, own).value)
