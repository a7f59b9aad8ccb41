import math

import numpy as np
import pytest
from scipy.special import expit, logit

from returns.evaluation import Estimate, paired_difference
from returns.metrics import ScoredEvents
from returns.seed_comparison import METRICS, SeedComparison, differences


def synthetic_fits(seed, num_customers=300, per_customer=5, num_seeds=3):
    """Labels, customers, true log-odds, and log-odds of fits that err at random."""
    random = np.random.default_rng(seed)
    customers = np.repeat(np.arange(num_customers), per_customer)
    truth = random.normal(0, 1.2, len(customers))
    labels = (random.random(len(customers)) < expit(truth)).astype(np.int8)
    fits = [truth + random.normal(0, 0.2, len(customers)) for _ in range(num_seeds)]
    return labels, customers, truth, fits


def everyone(labels):
    return {"all": np.ones(len(labels), dtype=bool)}


def test_a_model_does_not_differ_from_itself():
    labels, customers, _, fits = synthetic_fits(0)
    comparison = SeedComparison(labels, customers, everyone(labels), replicates=60)
    same = [comparison.figures([expit(fit) for fit in fits]) for _ in range(2)]
    for difference in differences(*same)["all"].values():
        assert difference.estimate == Estimate(0.0, 0.0, 0.0)
        assert difference.seed_deviation == 0


def test_a_figure_is_the_mean_over_seeds_of_the_fits_own_metric():
    labels, customers, _, fits = synthetic_fits(1)
    groups = everyone(labels) | {"even": customers % 2 == 0}
    figures = SeedComparison(labels, customers, groups, replicates=20).figures(
        [expit(fit) for fit in fits]
    )
    for group, mask in groups.items():
        exact = [ScoredEvents.of(labels[mask], expit(fit[mask]), 0.5).metrics() for fit in fits]
        for metric in METRICS:
            by_seed = [each[metric] for each in exact]
            np.testing.assert_array_equal(figures[group][metric].values, by_seed)
            assert figures[group][metric].mean == pytest.approx(np.mean(by_seed))


def test_one_seed_is_compared_as_two_models_are():
    labels, customers, truth, fits = synthetic_fits(2)
    comparison = SeedComparison(labels, customers, everyone(labels), seed=3, replicates=80)
    first, second = (comparison.figures([expit(scores)]) for scores in (fits[0], truth))
    found = differences(first, second)["all"]
    plain = paired_difference(
        labels, customers, (expit(fits[0]), 0.5), (expit(truth), 0.5), seed=3, replicates=80
    )
    for metric in METRICS:
        assert found[metric].estimate == plain[metric]
        assert math.isnan(found[metric].seed_deviation)


def test_seeds_are_paired():
    """A shift that all seeds of both models share leaves no deviation from seed to seed."""
    labels, customers, _, fits = synthetic_fits(4)
    comparison = SeedComparison(labels, customers, everyone(labels), replicates=20)
    model = comparison.figures([expit(fit) for fit in fits])
    turned = comparison.figures([expit(fit) for fit in fits[::-1]])
    found = differences(model, turned)["all"]["cross_entropy"]
    assert found.estimate.value == pytest.approx(0, abs=1e-15)
    assert found.seed_deviation > 0


def test_intervals_cover_a_planted_effect_about_as_often_as_they_say():
    """The reference knows the truth; the model's log-odds are halved, which costs a known loss."""

    def halved_and_true(labels, customers, truth, fits, replicates):
        comparison = SeedComparison(labels, customers, everyone(labels), replicates=replicates)
        model = comparison.figures([expit(fit / 2) for fit in fits])
        reference = comparison.figures([expit(fit) for fit in fits])
        return differences(model, reference)["all"]["cross_entropy"].estimate

    planted = halved_and_true(*synthetic_fits(999, num_customers=60_000), replicates=2).value
    assert planted > 0.01
    simulations, covered, above = 60, 0, 0
    for seed in range(simulations):
        found = halved_and_true(*synthetic_fits(seed), replicates=100)
        covered += found.low <= planted <= found.high
        above += found.low > 0
    # 95 % of 60 with a standard deviation of 1.7; a percentile interval is a little short.
    assert 50 <= covered <= 60
    assert above > simulations / 2


def test_customers_of_many_alike_events_widen_the_interval():
    labels, customers, truth, _ = synthetic_fits(5, num_customers=100, per_customer=1)
    repeated = [np.repeat(values, 20) for values in (labels, customers, truth)]
    scores = [expit(repeated[2]), expit(logit(expit(repeated[2])) / 2)]

    def width(groups_of_events):
        comparison = SeedComparison(
            repeated[0], groups_of_events, everyone(repeated[0]), replicates=200
        )
        model, reference = (comparison.figures([each]) for each in scores)
        found = differences(model, reference)["all"]["cross_entropy"].estimate
        return found.high - found.low

    assert width(repeated[1]) > 2 * width(np.arange(len(repeated[0])))
