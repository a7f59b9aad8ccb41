import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from returns.history import PRIOR_RATE, PRIOR_STRENGTH, dated_history, undated_history
from returns.knowledge import NUM_FOLDS, SHARE_TAKEN_FOR_NEW, fold_of, taken_for_new


def smoothed(returned: float, labelled: float) -> float:
    return (returned + PRIOR_RATE * PRIOR_STRENGTH) / (labelled + PRIOR_STRENGTH)


events = st.lists(
    st.tuples(
        st.integers(-1, 3),  # key
        st.integers(0, 6),  # day
        st.sampled_from([-1, 0, 1]),  # label
        st.booleans(),  # known
    ),
    min_size=1,
    max_size=40,
)


@given(events, st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_dated_history_equals_a_count_over_strictly_earlier_days(rows, delay):
    key, day, returned, known = (np.array(values) for values in zip(*rows, strict=True))
    key, day, returned = key.astype(np.int64), day.astype(np.int64), returned.astype(np.int8)
    targets = np.arange(len(key))
    history = dated_history({"k": key}, day, returned, known, targets, label_delay_days=delay)
    for event in targets:
        earlier = (key == key[event]) & (day < day[event]) & (key[event] >= 0)
        labelled = earlier & (day + delay < day[event]) & known & (returned >= 0)
        assert history["k_earlier_orders"][event] == earlier.sum()
        assert history["k_earlier_labelled"][event] == labelled.sum()
        rate = smoothed((returned[labelled] == 1).sum(), labelled.sum())
        assert history["k_earlier_return_rate"][event] == pytest.approx(rate, rel=1e-6)
        since = history["k_days_since_last"][event]
        if earlier.any():
            assert since == day[event] - day[earlier].max()
        else:
            assert np.isnan(since)


@given(events, st.booleans())
@settings(max_examples=100, deadline=None)
def test_undated_history_leaves_out_the_events_own_fold(rows, cross_fit):
    key, variant, returned, known = (np.array(values) for values in zip(*rows, strict=True))
    key, returned = key.astype(np.int64), returned.astype(np.int8)
    customer, variant = np.arange(len(key)) % 5, variant.astype(np.int64)
    targets = np.arange(len(key))
    history = undated_history(
        {"k": key}, customer, variant, returned, known, targets, cross_fit=cross_fit
    )
    fold = fold_of(customer, variant)
    scale = NUM_FOLDS / (NUM_FOLDS - 1) if cross_fit else 1.0
    for event in targets:
        heard = (key == key[event]) & (key[event] >= 0) & known & (returned >= 0)
        if cross_fit:
            heard &= fold != fold[event]
        labelled, back = heard.sum() * scale, (returned[heard] == 1).sum() * scale
        assert history["k_earlier_labelled"][event] == pytest.approx(labelled, rel=1e-6)
        rate = smoothed(back, labelled)
        assert history["k_earlier_return_rate"][event] == pytest.approx(rate, rel=1e-6)


def test_customers_taken_for_new_have_no_past_in_training_alone():
    rng = np.random.default_rng(0)
    customer, variant = rng.integers(0, 200, 3000), rng.integers(0, 50, 3000)
    returned, known = rng.integers(0, 2, 3000).astype(np.int8), np.ones(3000, dtype=bool)
    targets, keys = np.arange(3000), {"customer": customer, "variant": variant}
    new = taken_for_new(customer)
    assert new.mean() == pytest.approx(SHARE_TAKEN_FOR_NEW, abs=0.1)
    for cross_fit, hidden in ((True, new), (False, np.zeros(3000, dtype=bool))):
        history = undated_history(keys, customer, variant, returned, known, targets, cross_fit)
        assert np.array_equal(history["customer_earlier_labelled"] == 0, hidden)
        assert (history["variant_earlier_labelled"] > 0).all()


def test_repeated_pairs_share_a_fold():
    customer = np.array([3, 3, 8, 8])
    variant = np.array([4, 4, 4, 9])
    fold = fold_of(customer, variant)
    assert fold[0] == fold[1]


def test_folds_are_of_like_size():
    rng = np.random.default_rng(0)
    fold = fold_of(rng.integers(0, 10_000, 50_000), rng.integers(0, 5_000, 50_000))
    share = np.bincount(fold, minlength=NUM_FOLDS) / len(fold)
    assert np.abs(share - 1 / NUM_FOLDS).max() < 0.01
