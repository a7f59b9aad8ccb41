import numpy as np
import pytest

from returns.bootstrap import GroupReplicates, customer_draws, replicate_sums
from returns.metrics import ScoredEvents


def test_each_replicate_draws_as_many_customers_as_there_are() -> None:
    draws = np.concatenate(list(customer_draws(500, replicates=45, seed=1)), axis=1)
    assert draws.shape == (500, 45)
    np.testing.assert_array_equal(draws.sum(axis=0), 500)
    # The number of times a customer is drawn is binomial(500, 1 / 500): mean 1, variance about 1.
    assert draws.var() == pytest.approx(1, abs=0.05)
    assert (draws == 0).mean() == pytest.approx(np.exp(-1), abs=0.02)


def test_a_seed_fixes_the_draws() -> None:
    first, again, other = (next(customer_draws(50, 5, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(("decimals", "tolerance"), [(2, 1e-12), (9, 1e-3)])
def test_a_replicate_is_the_metric_of_events_weighted_by_draws(
    decimals: int, tolerance: float
) -> None:
    random = np.random.default_rng(0)
    num_events, num_customers = 6000, 900
    probabilities = random.random(num_events).round(decimals)
    labels = (random.random(num_events) < probabilities).astype(np.int64)
    customer = random.integers(num_customers, size=num_events)
    customer[:num_customers] = np.arange(num_customers)
    group = random.integers(-1, 3, num_events)
    events = ScoredEvents.of(labels, probabilities, 0.4, probabilities, 0.5)
    draws = next(customer_draws(num_customers, 3, seed=0))
    replicates = GroupReplicates(replicate_sums(events), customer, group).metrics(draws)
    for place in range(3):
        part = group == place
        for replicate in range(3):
            expected = events.part(part).metrics(draws[customer[part], replicate])
            found = {name: values[place, replicate] for name, values in replicates.items()}
            assert found == pytest.approx(expected, abs=tolerance)


def test_a_replicate_without_a_class_is_undefined_not_an_error() -> None:
    events = ScoredEvents.of(np.array([0, 1]), np.array([0.2, 0.7]), 0.5)
    replicates = GroupReplicates(replicate_sums(events), np.array([0, 1]), np.zeros(2, np.int64))
    with np.errstate(all="raise"):
        found = replicates.metrics(np.array([[2.0, 0.0], [0.0, 2.0]]))
    assert np.isnan(found["roc_auc"]).all()
    np.testing.assert_array_equal(np.isnan(found["recall"]), [[True, False]])
