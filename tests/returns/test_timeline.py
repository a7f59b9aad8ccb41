import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from returns.timeline import FEW, KeyOrder, Timeline, places

events = st.lists(
    st.tuples(
        st.integers(-1, 3),  # key
        st.integers(0, 6),  # day
        st.booleans(),  # counts
        st.booleans(),  # flag
        st.floats(-1e6, 1e6),  # value
    ),
    min_size=1,
    max_size=40,
)


@given(events, st.integers(0, 3), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_a_timeline_equals_a_search_over_all_events(rows, delay, most):
    key, day, counts, flag, value = (np.array(column) for column in zip(*rows, strict=True))
    targets = np.arange(len(key))
    past = Timeline.of(key.astype(np.int64), day, targets, counts, delay)
    number, flagged, latest = past.count, past.total(flag), past.total(flag, most)
    total, first, last = past.sum(value), past.first(value), past.last(value)
    for event in targets:
        earlier = np.flatnonzero(counts & (key == key[event]) & (day + delay < day[event]))
        earlier = earlier[np.argsort(day[earlier], kind="stable")]
        if key[event] < 0:
            earlier = earlier[:0]
        assert number[event] == len(earlier)
        assert flagged[event] == flag[earlier].sum()
        assert latest[event] == flag[earlier[-most:]].sum()
        assert total[event] == pytest.approx(value[earlier].sum(), abs=1e-6)
        ends = (value[earlier[0]], value[earlier[-1]]) if len(earlier) else (np.nan, np.nan)
        assert np.array_equal((first[event], last[event]), ends, equal_nan=True)


def test_sums_do_not_hear_other_keys():
    key, day = np.array([0, 1, 1, 2, 2]), np.array([0, 0, 1, 0, 1])
    value = np.array([1e16, 0.1, 0.2, 0.3, 0.7])
    targets = np.array([2, 4])
    changed = np.array([3.0, 0.1, 0.2, 0.3, 0.7])
    sums = Timeline.of(key, day, targets).sum(value)
    assert sums.tolist() == [0.1, 0.3]
    assert np.array_equal(sums, Timeline.of(key, day, targets).sum(changed))


@pytest.mark.parametrize("number", [3, FEW + 50])
def test_places_are_those_of_a_search_one_by_one(number):
    rng = np.random.default_rng(4)
    ascending = np.sort(rng.integers(0, 100, 500))
    values = rng.integers(-5, 105, number)
    assert np.array_equal(places(ascending, values), np.searchsorted(ascending, values))


def test_an_order_of_all_events_is_that_of_their_sorting():
    rng = np.random.default_rng(5)
    key, day = rng.integers(-1, 20, 400), rng.integers(15000, 15050, 400)
    order, (_, sorted_order) = KeyOrder.of(key, day), KeyOrder.sort(key, day)
    assert np.array_equal(order.ascending, sorted_order.ascending)
    assert (order.first_day, order.span) == (sorted_order.first_day, sorted_order.span)
