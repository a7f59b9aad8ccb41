import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from returns.evaluation import paired_difference
from returns.promotion import Decision, better_than_base_rate, decide

NUM_CUSTOMERS = 300


class Fresh:
    """A fresh period whose true probabilities are known: customers with a leaning of their own."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.customers = np.repeat(np.arange(NUM_CUSTOMERS), self.random.integers(1, 8, 300))
        leaning = self.random.normal(0, 0.8, NUM_CUSTOMERS)
        noise = self.random.normal(0, 0.6, len(self.customers))
        self.truth = expit(leaning[self.customers] + noise)
        self.labels = (self.random.random(len(self.truth)) < self.truth).astype(int)
        self.market = np.where(self.customers % 3 == 0, "north", "south")
        self.groups = {
            "market": self.market,
            "customer": np.where(self.customers % 2 == 0, "known", "new"),
        }

    def model(self, noise: float, bias: float = 0.0) -> np.ndarray:
        """The truth seen through noise that a customer's events share, and through a bias."""
        shared = self.random.normal(0, noise, NUM_CUSTOMERS)[self.customers]
        return expit(logit(self.truth) + shared + bias)

    def decide(
        self, challenger: np.ndarray, champion: np.ndarray, replicates: int = 100
    ) -> Decision:
        return decide(
            self.labels,
            self.customers,
            (challenger, 0.5),
            (champion, 0.5),
            self.groups,
            replicates=replicates,
        )


def test_a_better_challenger_is_promoted_and_the_reason_has_the_figures():
    fresh = Fresh(0)
    decision = fresh.decide(fresh.model(0.1), fresh.model(1.0))
    assert decision.promote
    row = decision.table.query("slice == 'all' and metric == 'cross_entropy'").iloc[0]
    assert row["difference"] == pytest.approx(row["challenger"] - row["champion"])
    assert f"{row['difference']:+.4f}" in decision.reasons[0]
    assert "better beyond noise" in decision.reasons[0]


def test_a_worse_challenger_is_not():
    fresh = Fresh(1)
    decision = fresh.decide(fresh.model(1.0), fresh.model(0.1))
    assert not decision.promote
    assert "no better" in decision.reasons[0]


def test_a_model_does_not_replace_itself():
    fresh = Fresh(2)
    champion = fresh.model(0.3)
    decision = fresh.decide(champion, champion)
    assert not decision.promote
    assert (decision.table["difference"] == 0).all()


def test_equal_models_are_seldom_promoted():
    promoted = 0
    for seed in range(80):
        fresh = Fresh(1000 + seed)
        promoted += fresh.decide(fresh.model(0.5), fresh.model(0.5), 60).promote
    # 0.025 in expectation, one side of a 95 % interval; 0.0875 is 3.5 standard errors above it.
    assert promoted / 80 <= 0.0875


def test_equal_slices_seldom_hold_a_better_challenger_back():
    kept = 0
    for seed in range(40):
        fresh = Fresh(2000 + seed)
        decision = fresh.decide(fresh.model(0.1), fresh.model(0.9), 60)
        kept += any("slice" in reason for reason in decision.reasons) and not decision.promote
    assert kept / 40 <= 0.05


def test_a_slice_that_got_worse_holds_the_challenger_back():
    fresh = Fresh(3)
    better, worse = fresh.model(0.05), fresh.model(4.0)
    champion = fresh.model(1.0)
    challenger = np.where(fresh.market == "north", worse, better)
    decision = fresh.decide(challenger, champion)
    assert not decision.promote
    assert any("market north" in reason for reason in decision.reasons)
    assert not any("market south" in reason for reason in decision.reasons)


def test_worse_calibration_holds_the_challenger_back():
    """A challenger that ranks far better, but says too much."""
    fresh = Fresh(4)
    ranked = fresh.truth
    champion = np.full(len(ranked), fresh.labels.mean())
    challenger = expit(1.9 * logit(ranked))
    decision = fresh.decide(challenger, champion)
    assert "better beyond noise" in decision.reasons[0]
    assert not decision.promote
    assert any("calibration is worse" in reason for reason in decision.reasons)


def test_small_and_unnamed_groups_are_not_guarded():
    fresh = Fresh(5)
    market = np.where(np.arange(len(fresh.labels)) < 49, "tiny", None)
    decision = decide(
        fresh.labels,
        fresh.customers,
        (fresh.model(0.1), 0.5),
        (fresh.model(1.0), 0.5),
        {"market": market},
        replicates=60,
    )
    assert set(decision.table["slice"]) == {"all"}


@pytest.mark.parametrize(("num_customers", "guarded"), [(1, False), (19, False), (20, True)])
def test_a_group_of_few_customers_is_not_guarded(num_customers: int, guarded: bool) -> None:
    """However many events they have, and however much worse the challenger is for them."""
    fresh = Fresh(9)
    few = np.arange(len(fresh.labels)) < 80
    customers = np.where(few, np.arange(len(few)) % num_customers - 20, fresh.customers)
    champion = fresh.model(1.0)
    worst = np.where(fresh.labels == 1, 0.001, 0.999)
    decision = decide(
        fresh.labels,
        customers,
        (np.where(few, worst, fresh.model(0.05)), 0.5),
        (champion, 0.5),
        {"market": np.where(few, "few", None)},
        replicates=60,
    )
    assert ("market" in set(decision.table["slice"])) is guarded
    assert any("market few" in reason for reason in decision.reasons) is guarded


def test_a_difference_that_is_the_same_in_every_replicate_is_not_tested() -> None:
    """All of the slice was kept, and each model has one probability for it: no customer differs."""
    fresh = Fresh(10)
    north = fresh.market == "north"
    labels = np.where(north, 0, fresh.labels)
    models = [
        (np.where(north, rate, fresh.model(noise)), 0.5)
        for rate, noise in ((0.31, 0.1), (0.3, 1.0))
    ]
    decision = decide(labels, fresh.customers, *models, fresh.groups, replicates=60)
    north = decision.table.query("group == 'north' and metric == 'cross_entropy'").iloc[0]
    assert north["difference"] > 0
    assert north["high"] - north["low"] < 1e-12
    assert not any("market north" in reason for reason in decision.reasons)


def test_the_interval_is_that_of_the_paired_difference():
    fresh = Fresh(6)
    first, second = (fresh.model(0.1), 0.4), (fresh.model(0.8), 0.6)
    decision = decide(fresh.labels, fresh.customers, first, second, {}, seed=3, replicates=80)
    expected = paired_difference(
        fresh.labels, fresh.customers, first, second, seed=3, replicates=80
    )
    rows = decision.table.set_index("metric")
    for metric in rows.index:
        found = rows.loc[metric, ["difference", "low", "high"]].astype(float).to_numpy()
        estimate = expected[metric]
        assert found == pytest.approx([estimate.value, estimate.low, estimate.high])


def test_a_first_model_must_beat_the_base_rate():
    fresh = Fresh(7)
    rate = float(fresh.labels.mean())
    good = better_than_base_rate(
        fresh.labels, fresh.customers, (fresh.model(0.1), 0.5), rate, replicates=60
    )
    assert good.promote
    assert "there is no champion" in good.reasons[0]
    guess = expit(fresh.random.normal(0, 1, len(fresh.labels)))
    bad = better_than_base_rate(fresh.labels, fresh.customers, (guess, 0.5), rate, replicates=60)
    assert not bad.promote


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 labels, but 3 customers"):
        probability = np.array([0.2, 0.7])
        decide(np.array([0, 1]), np.arange(3), (probability, 0.5), (probability, 0.5), {})


def test_the_same_seed_gives_the_same_table():
    fresh = Fresh(8)
    challenger, champion = fresh.model(0.2), fresh.model(0.3)
    first, second = (fresh.decide(challenger, champion).table for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
