from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dataset import Dataset
from returns.audit.windows import label_windows
from returns.knowledge import EventArrays

SPLITS = np.array(["train", "validation", "test"])

events = st.lists(
    st.tuples(
        st.integers(-1, 2),  # key
        st.integers(0, 4),  # day
        st.sampled_from([-1, 0, 1]),  # label
        st.integers(0, 2),  # split
    ),
    min_size=1,
    max_size=30,
)


@pytest.mark.parametrize("dated", [True, False])
@given(rows=events)
@settings(max_examples=75, deadline=None)
def test_windows_equal_a_count_event_by_event(rows, dated):
    key, day, label, split = (np.array(values) for values in zip(*rows, strict=True))
    arrays = EventArrays(key, key, label.astype(np.int8), day if dated else None)
    empty = pa.table({})
    table = pa.table({"split": pa.array(SPLITS[split])})
    targets = np.flatnonzero((label >= 0) & (key >= 0))
    windows = label_windows(Dataset(table, empty, empty), arrays, key, targets)
    line = np.arange(len(rows))
    for place, event in enumerate(targets):
        alike = (key == key[event]) & (label >= 0)
        earlier = day < day[event] if dated else np.zeros(len(rows), bool)
        same_day = day == day[event] if dated else np.ones(len(rows), bool)
        inside = {
            "over all events": alike,
            "over all other events": alike & (line != event),
            "over the split": alike & (split == split[event]),
            "over the half": alike & ((split == 2) == (split[event] == 2)),
            "up to the line": alike & (earlier | (same_day & (line <= event))),
            "up to the day": alike & (earlier | same_day),
            "before the day": alike & earlier,
        }
        if not dated:
            del inside["up to the day"], inside["before the day"]
        assert set(windows) == set(inside)
        for name, members in inside.items():
            assert windows[name].labelled[place] == members.sum(), name
            assert windows[name].returned[place] == label[members].sum(), name


def test_the_windows_of_a_key_do_not_hear_other_keys(dated):
    arrays = EventArrays.of(dated)
    targets = np.flatnonzero(arrays.customer == arrays.customer[0])
    other = np.where(arrays.customer == arrays.customer[0], arrays.returned, 1 - arrays.returned)
    changed = replace(arrays, returned=other.astype(np.int8))
    before = label_windows(dated, arrays, arrays.customer, targets)
    after = label_windows(dated, changed, arrays.customer, targets)
    for name in before:
        assert np.array_equal(before[name].returned, after[name].returned)
