"""Drawing from circles of events: whom a target takes, whatever it is drawn with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from returns import drawing
from returns.drawing import Circles

FAN_OUT = 3


def circles_of(key, pair, seed=0):
    lots = np.random.default_rng(seed).permutation(len(key))
    among = np.random.default_rng(seed + 1).random(len(key)) < 0.8
    return Circles.of(key, lots, len(key), among, pair), lots, among


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 4)), min_size=1, max_size=40))
def test_a_target_takes_those_of_other_pairs_that_follow_it_in_its_circle(events):
    key, pair = np.array(events).T
    circles, lots, among = circles_of(key, pair)
    lists = circles.draw(key, lots, pair, FAN_OUT)
    for target in range(len(key)):
        inside = np.flatnonzero(among & (key == key[target]) & (key[target] >= 0))
        order = inside[np.argsort((lots[inside] - lots[target]) % len(key))]
        met = order[: FAN_OUT + 1]
        expected = [event for event in met if pair[event] != pair[target]][:FAN_OUT]
        assert lists.of(np.array([target]))[1].tolist() == expected


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_targets_drawn_for_at_once_change_nothing(monkeypatch, at_once):
    random = np.random.default_rng(3)
    key, pair = random.integers(-1, 20, 300), random.integers(0, 150, 300)
    circles, lots, _ = circles_of(key, pair)
    whole = circles.draw(key, lots, pair, FAN_OUT)
    monkeypatch.setattr(drawing, "TARGETS_AT_ONCE", at_once)
    parts = circles.draw(key, lots, pair, FAN_OUT)
    assert np.array_equal(whole.offsets, parts.offsets)
    assert np.array_equal(whole.events, parts.events)
    assert len(whole.events) > 500


def test_no_targets_and_no_events_give_empty_lists():
    nothing = np.empty(0, dtype=np.int64)
    circles, _, _ = circles_of(np.array([0, 0]), np.array([0, 1]))
    assert circles.draw(nothing, nothing, nothing, FAN_OUT).offsets.tolist() == [0]
    empty = Circles.of(nothing, nothing, 1, np.empty(0, dtype=bool), nothing)
    lists = empty.draw(np.array([-1]), np.array([0]), np.array([0]), FAN_OUT)
    assert lists.offsets.tolist() == [0, 0]
