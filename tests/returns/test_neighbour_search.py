import numpy as np
import pandas as pd
import pytest

from data.dataset import index_tables
from returns.history_keys import HistoryKeys
from returns.knowledge import (
    PARTS,
    SELF_INFORMED,
    EventArrays,
    known_labels,
    taken_for_new,
)
from returns.neighbour_search import find_neighbours
from returns.protocol import Protocol

FAN_OUT = 3


def found(dataset, split, protocol=Protocol.STRICT, fan_out=FAN_OUT, delay=0):
    train = np.flatnonzero(dataset.split_mask("train"))
    keys = HistoryKeys.fit(dataset, protocol, train)
    targets = np.flatnonzero(dataset.split_mask(*PARTS[split]))
    return find_neighbours(dataset, protocol, keys, split, targets, fan_out, delay)


def assert_grouped_alike(one, other):
    """Both tell the same targets together, whatever the numbers of the groups."""
    assert np.array_equal(pd.factorize(one)[0], pd.factorize(other)[0])


def neighbours_of(neighbourhood, relation):
    lists = neighbourhood.relations[relation]
    return np.split(lists.events, lists.offsets[1:-1])


@pytest.mark.parametrize("split", [*PARTS])
@pytest.mark.parametrize("delay", [0, 20])
def test_dated_neighbours_are_the_latest_known_strictly_earlier_events(dated, split, delay):
    arrays, known = EventArrays.of(dated), known_labels(dated, split)
    neighbourhood = found(dated, split, delay=delay)
    key = {"customer": arrays.customer, "variant": arrays.variant}
    heard = 0
    for relation in key:
        for target, neighbours in zip(
            neighbourhood.targets, neighbours_of(neighbourhood, relation), strict=True
        ):
            earlier = (
                (key[relation] == key[relation][target])
                & (arrays.day + delay < arrays.day[target])
                & known
            )
            assert earlier[neighbours].all()
            latest = np.sort(arrays.day[earlier])[-FAN_OUT:]
            assert np.array_equal(np.sort(arrays.day[neighbours]), latest)
            heard += len(neighbours)
    assert heard > 0


@pytest.mark.parametrize("split", [*PARTS])
def test_undated_neighbours_are_other_pairs_labelled_events(undated, split):
    arrays, known = EventArrays.of(undated), known_labels(undated, split)
    neighbourhood = found(undated, split)
    for relation, key in (("customer", arrays.customer), ("variant", arrays.variant)):
        for target, neighbours in zip(
            neighbourhood.targets, neighbours_of(neighbourhood, relation), strict=True
        ):
            other = (arrays.customer != arrays.customer[target]) | (
                arrays.variant != arrays.variant[target]
            )
            admitted = known & other & (key == key[target])
            if relation == "customer" and split in SELF_INFORMED and taken_for_new(key)[target]:
                admitted[:] = False
            assert admitted[neighbours].all()
            assert len(np.unique(neighbours)) == len(neighbours)
            repeats = known & ~other
            expected = min(FAN_OUT, admitted.sum())
            # A repeated pair may take the place of a neighbour, never add one.
            assert max(0, expected - max(0, repeats.sum() - 1)) <= len(neighbours) <= expected


def test_every_neighbour_is_about_as_likely(undated):
    """The draw is no favourite of early or late events."""
    neighbourhood = found(undated, "test", fan_out=2)
    arrays = EventArrays.of(undated)
    known = np.flatnonzero(known_labels(undated, "test"))
    lists = neighbourhood.relations["variant"]
    times = np.bincount(lists.events, minlength=len(arrays.variant))[known]
    half = len(known) // 2
    assert times[:half].sum() == pytest.approx(times[half:].sum(), rel=0.15)


def test_labels_are_told_of_known_events_alone(make_tables):
    dataset, _ = index_tables(make_tables())
    for split in PARTS:
        neighbourhood = found(dataset, split)
        known = known_labels(dataset, split)
        assert (neighbourhood.label[~known] == 0).all()
        signs = np.where(EventArrays.of(dataset).returned == 1, 1, -1)
        assert np.array_equal(neighbourhood.label[known], signs[known])


def test_under_paper_no_label_of_undated_data_travels(undated):
    for split in PARTS:
        neighbourhood = found(undated, split, Protocol.PAPER)
        assert not neighbourhood.relations
        assert not neighbourhood.label.any()
        customer = EventArrays.of(undated).customer[neighbourhood.targets]
        assert_grouped_alike(neighbourhood.group, customer)


def test_groups_are_baskets_and_under_strict_undated_events_are_alone(dated, undated):
    baskets = dated.events["basket"].to_numpy()
    neighbourhood = found(dated, "test")
    assert_grouped_alike(neighbourhood.group, baskets[neighbourhood.targets])
    assert found(undated, "test").group is None
