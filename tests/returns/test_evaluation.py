import json
import math

import numpy as np
import pytest

from returns.evaluation import (
    FEWEST_EVENTS,
    Estimate,
    comparison_table,
    evaluate,
    paired_difference,
)
from returns.metrics import METRICS, ScoredEvents


def synthetic_events(
    seed: int, num_customers: int = 400, per_customer: int = 4, spread: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, a model's probabilities and customers; a customer's own rate is unknown to it."""
    random = np.random.default_rng(seed)
    customers = np.repeat(np.arange(num_customers) * 7 + 3, per_customer)
    score = random.normal(size=len(customers))
    own = spread * np.repeat(random.normal(size=num_customers), per_customer)
    labels = random.random(len(customers)) < 1 / (1 + np.exp(-(score + own)))
    return labels.astype(np.int8), 1 / (1 + np.exp(-score)), customers


def test_figures_are_exact_and_inside_their_intervals() -> None:
    labels, probabilities, customers = synthetic_events(0)
    report = evaluate(labels, probabilities, 0.4, customers)
    exact = ScoredEvents.of(labels, probabilities, 0.4).metrics()
    assert set(report.overall.metrics) == set(METRICS)
    for name, estimate in report.overall.metrics.items():
        assert estimate.value == exact[name]
        assert estimate.low < estimate.value < estimate.high
    assert (report.overall.num_events, report.overall.num_customers) == (1600, 400)
    assert report.overall.base_rate == labels.mean()


def test_customer_order_and_names_do_not_matter_but_their_events_do() -> None:
    labels, probabilities, customers = synthetic_events(1, per_customer=12, spread=3.0)
    probabilities = np.repeat(probabilities[::12], 12)
    report = evaluate(labels, probabilities, 0.5, customers)
    named = evaluate(labels, probabilities, 0.5, np.array([f"c{c:06}" for c in customers]))
    assert named == report
    as_if_independent = evaluate(labels, probabilities, 0.5, np.arange(len(labels)))

    def width(estimate: Estimate) -> float:
        return estimate.high - estimate.low

    clustered, independent = (
        width(found.overall.metrics["cross_entropy"]) for found in (report, as_if_independent)
    )
    assert clustered > 1.5 * independent


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    labels, probabilities, customers = synthetic_events(999, num_customers=100_000)
    truth = ScoredEvents.of(labels, probabilities, 0.4).metrics()
    names = ("cross_entropy", "f1_at_threshold", "roc_auc", "average_precision", "brier")
    covered = dict.fromkeys(names, 0)
    simulations = 100
    for seed in range(simulations):
        labels, probabilities, customers = synthetic_events(seed, num_customers=300)
        found = evaluate(labels, probabilities, 0.4, customers, seed=seed).overall.metrics
        for name in names:
            covered[name] += found[name].low <= truth[name] <= found[name].high
    for name in names:
        # 95 % of 100 with a standard deviation of 2.2; a percentile interval is a little short.
        assert 86 <= covered[name] <= 100, name


def test_slices_are_measured_alone_and_small_ones_left_out() -> None:
    labels, probabilities, customers = synthetic_events(2)
    market = np.where(np.arange(len(labels)) % 4 == 0, "A", "B").astype(object)
    market[: FEWEST_EVENTS - 1] = "tiny"
    market[FEWEST_EVENTS : FEWEST_EVENTS + 200] = None
    known = customers % 2 == 0
    report = evaluate(
        labels, probabilities, 0.4, customers, {"market": market, "known_customer": known}
    )
    assert set(report.slices["market"]) == {"A", "B"}
    assert set(report.slices["known_customer"]) == {"True", "False"}
    in_b = market == "B"
    expected = ScoredEvents.of(labels[in_b], probabilities[in_b], 0.4).metrics()
    of_b = report.slices["market"]["B"]
    assert {name: estimate.value for name, estimate in of_b.metrics.items()} == expected
    assert of_b.num_events == in_b.sum()
    for estimate in of_b.metrics.values():
        assert estimate.low < estimate.high


def test_a_slice_of_small_groups_alone_is_empty() -> None:
    labels, probabilities, customers = synthetic_events(2)
    each = {"customer": customers, "nothing": np.full(len(labels), None)}
    report = evaluate(labels, probabilities, 0.4, customers, each, replicates=20)
    assert report.slices == {"customer": {}, "nothing": {}}


def test_few_events_are_still_measured_over_all() -> None:
    report = evaluate(np.array([0, 1, 1]), np.array([0.2, 0.7, 0.4]), 0.5, np.arange(3))
    assert report.overall.metrics["precision"].value == 1.0
    assert report.overall.num_events == 3


def test_a_single_class_slice_has_no_ranking() -> None:
    labels, probabilities, customers = synthetic_events(3)
    report = evaluate(labels, probabilities, 0.4, customers, {"label": labels})
    kept = report.slices["label"]["0"].metrics
    assert math.isnan(kept["roc_auc"].value)
    assert math.isnan(kept["roc_auc"].low)
    assert math.isfinite(kept["cross_entropy"].high)


def test_a_seed_fixes_the_report() -> None:
    labels, probabilities, customers = synthetic_events(4)
    first, again, other = (
        evaluate(labels, probabilities, 0.5, customers, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_the_share_of_the_reachable_gain_is_reported_with_its_interval() -> None:
    random = np.random.default_rng(5)
    truth = random.beta(2, 2, 5000)
    labels = (random.random(5000) < truth).astype(np.int8)
    report = evaluate(
        labels,
        (truth + 0.5) / 2,
        0.5,
        random.integers(2000, size=5000),
        true_probability=truth,
        base_rate=0.5,
    )
    share = report.overall.metrics["reachable_gain_share"]
    assert 0 < share.low < share.value < share.high < 1


def test_a_paired_interval_is_narrower_than_the_difference_of_two() -> None:
    labels, probabilities, customers = synthetic_events(6, spread=0.0)
    worse = (probabilities + 0.5) / 2
    difference = paired_difference(labels, customers, (probabilities, 0.5), (worse, 0.5))
    alone = evaluate(labels, probabilities, 0.5, customers).overall.metrics["cross_entropy"]
    loss = difference["cross_entropy"]
    assert loss.value < loss.high < 0
    assert loss.high - loss.low < 0.75 * (alone.high - alone.low)
    exact = [ScoredEvents.of(labels, p, 0.5).metrics()["f1"] for p in (probabilities, worse)]
    assert difference["f1"].value == exact[0] - exact[1]


def test_a_model_does_not_differ_from_itself() -> None:
    labels, probabilities, customers = synthetic_events(7)
    same = paired_difference(labels, customers, (probabilities, 0.4), (probabilities, 0.4))
    assert set(same) == set(METRICS)
    assert set(same.values()) == {Estimate(0.0, 0.0, 0.0)}


def test_the_comparison_table_has_models_as_rows() -> None:
    labels, probabilities, customers = synthetic_events(8)
    reports = {
        "logistic": evaluate(labels, probabilities, 0.4, customers, replicates=20),
        "forest": evaluate(labels, probabilities**2, 0.2, customers, replicates=20),
    }
    table = comparison_table(reports)
    assert list(table.index) == ["logistic", "forest"]
    assert table.loc["forest", "F1 at threshold"] == pytest.approx(
        reports["forest"].overall.metrics["f1_at_threshold"].value
    )
    assert table.loc["logistic", "threshold"] == 0.4
    for title in ("precision", "recall", "F1", "cross-entropy", "ROC AUC", "Brier", "ECE"):
        assert table[title].between(0, 1).all()


def test_scalars_and_slices_carry_every_figure() -> None:
    labels, probabilities, customers = synthetic_events(9)
    report = evaluate(labels, probabilities, 0.4, customers, {"label": labels}, replicates=20)
    scalars = report.scalars()
    assert scalars["num_events"] == len(labels)
    for name in METRICS:
        assert scalars[f"{name}_low"] <= scalars[name] <= scalars[f"{name}_high"]
    table = report.slice_table()
    assert len(table) == 3 * len(METRICS)
    chosen = table.query("slice == 'all' and metric == 'f1'").iloc[0]
    assert chosen["value"] == scalars["f1"]
    assert json.loads(json.dumps(report.to_json()))["threshold"] == 0.4


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 labels, but 3 customers"):
        evaluate(np.array([0, 1]), np.array([0.2, 0.7]), 0.5, np.arange(3))
