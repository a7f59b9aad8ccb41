"""Leak tests: what was not known when an order was placed changes no bit of what models see."""

import numpy as np
import pytest

from data.dataset import Dataset, index_tables
from returns.event_set import EventSet
from returns.graph import PURCHASES
from returns.knowledge import EventArrays
from returns.memory import Memory, split_tables
from returns.preparation import Preparation
from returns.protocol import Protocol


def seen_by_models(events: EventSet) -> list[np.ndarray]:
    """Features and, per graph, everything but the targets' own labels."""
    seen = [events.features.numeric, events.features.categorical]
    for graph in events.build_graphs():
        seen += [graph[PURCHASES].edge_index.numpy(), graph[PURCHASES].edge_attr.numpy()]
        seen += [graph["customer"].x.numpy(), graph["variant"].x.numpy()]
    return seen + heard_by_models(events)


def heard_by_models(events: EventSet) -> list[np.ndarray]:
    """Who is heard by which relation, and with which label."""
    neighbourhood = events.build_neighbourhood(4)
    heard = [neighbourhood.codes, neighbourhood.quantities]
    for lists in neighbourhood.relations.values():
        heard += [lists.offsets, lists.events, neighbourhood.label[lists.events]]
    return heard


def equal(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return len(left) == len(right) and all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(left, right, strict=True)
    )


def permuted(labels: np.ndarray, chosen: np.ndarray, seed: int = 0) -> np.ndarray:
    labels = labels.copy()
    labels[chosen] = np.random.default_rng(seed).permutation(labels[chosen])
    return labels


@pytest.mark.parametrize("protocol", list(Protocol))
def test_labels_of_the_test_split_reach_no_model(make_tables, relabel, protocol):
    tables = make_tables()
    dataset, _ = index_tables(tables)
    labels = EventArrays.of(dataset).returned
    other, _ = index_tables(relabel(tables, permuted(labels, dataset.split_mask("test"))))
    preparation, changed = Preparation.fit(dataset, protocol), Preparation.fit(other, protocol)
    assert preparation.to_json() == changed.to_json()
    for split in ("train", "validation", "test"):
        assert equal(
            seen_by_models(preparation.event_set(dataset, split)),
            seen_by_models(changed.event_set(other, split)),
        )


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_labels_of_the_order_and_later_reach_no_dated_order(dated_tables, relabel, split):
    dataset, _ = index_tables(dated_tables)
    arrays = EventArrays.of(dataset)
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    before = preparation.event_set(dataset, split)
    day = arrays.day[dataset.split_mask(split)]
    cut = int(np.median(day))
    later = relabel(dated_tables, permuted(arrays.returned, arrays.day >= cut))
    after = preparation.event_set(index_tables(later)[0], split)
    earlier = day <= cut
    assert earlier.any()
    assert equal(
        [before.features.numeric[earlier]],
        [after.features.numeric[earlier]],
    )
    heard = [events.build_neighbourhood(4) for events in (before, after)]
    for relation in heard[0].relations:
        rows = np.flatnonzero(earlier)
        lists = [neighbourhood.relations[relation].of(rows) for neighbourhood in heard]
        labels = [part.label[events] for part, (_, events) in zip(heard, lists, strict=True)]
        assert equal([*lists[0], labels[0]], [*lists[1], labels[1]])
    for left, right in zip(before.build_graphs(), after.build_graphs(), strict=True):
        if (day[left.position.numpy()] <= cut).any():
            attributes = left[PURCHASES].edge_attr, right[PURCHASES].edge_attr
            assert np.array_equal(*(attribute.numpy() for attribute in attributes))


def test_which_labels_are_known_already_reaches_no_dated_order(dated_tables, relabel):
    """Of a basket some lines may be labelled before others; the others are lines of it, too."""
    dataset, _ = index_tables(dated_tables)
    arrays = EventArrays.of(dataset)
    train = np.flatnonzero(dataset.split_mask("train"))
    cut = int(np.median(arrays.day[train]))
    labels = arrays.returned.astype(object)
    is_open = (arrays.day >= cut) & (np.arange(len(labels)) % 2 == 0)
    labels[is_open] = None
    other, _ = index_tables(relabel(dated_tables, labels.tolist()))
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    before, after = (preparation.event_set(each, "train") for each in (dataset, other))
    left = train[~is_open[train]]
    assert len(after) == len(left) < len(before)
    is_early = arrays.day[left] <= cut
    assert (arrays.day[left] == cut).any()
    assert np.array_equal(
        before.features.numeric[~is_open[train]][is_early],
        after.features.numeric[is_early],
        equal_nan=True,
    )
    basket = dataset.events["basket"].to_numpy()
    is_whole = ~np.isin(basket[left], basket[train[is_open[train]]])
    assert before.is_whole is None
    assert np.array_equal(after.is_whole, is_whole)
    assert np.array_equal(after.weights_together, np.where(is_whole, after.weights, 0))


def test_open_orders_are_remembered_as_orders(dated_tables, relabel):
    """Served features know what training knew: that they were placed, not how they ended."""
    labels = dated_tables.events["returned"].to_numpy().astype(object)
    is_test = dated_tables.events["split"].to_numpy() == "test"
    labels[np.flatnonzero(~is_test)[-200:]] = None
    dataset, _ = index_tables(relabel(dated_tables, labels.tolist()))
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    new = split_tables(dataset, ("test",), Protocol.STRICT)
    served = Memory.of(dataset, Protocol.STRICT).with_new(new)
    found, expected = (preparation.event_set(each, "test").features for each in (served, dataset))
    names = found.numeric_names
    orders = [names.index(name) for name in names if name.endswith(("_orders", "_since_last"))]
    assert len(orders) > 10
    assert np.array_equal(found.numeric[:, orders], expected.numeric[:, orders], equal_nan=True)


def test_orders_after_a_dated_order_reach_it_not_at_all(dated_tables):
    """Cutting the future off changes nothing: not labels alone, later orders themselves."""
    whole, _ = index_tables(dated_tables)
    day = EventArrays.of(whole).day
    cut = int(np.median(day[whole.split_mask("test")]))
    past = type(dated_tables)(
        events=dated_tables.events.filter(day <= cut),
        customers=dated_tables.customers,
        variants=dated_tables.variants,
    )
    preparation = Preparation.fit(whole, Protocol.STRICT)
    full = preparation.event_set(whole, "test").features.numeric
    short = preparation.event_set(index_tables(past)[0], "test").features.numeric
    assert len(short) < len(full)
    assert np.array_equal(full[: len(short)], short, equal_nan=True)


def test_the_split_being_scored_does_inform_the_next(make_tables, relabel):
    """The leak tests can fail: labels that may be known do change what models see."""
    tables = make_tables()
    dataset, _ = index_tables(tables)
    labels = EventArrays.of(dataset).returned
    other, _ = index_tables(relabel(tables, permuted(labels, dataset.split_mask("validation"))))
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    for split, same in (("train", True), ("validation", True), ("test", False)):
        pair = (preparation.event_set(part, split) for part in (dataset, other))
        assert equal(*(seen_by_models(events) for events in pair)) is same


def test_a_planted_leak_is_found(undated_tables, relabel, monkeypatch):
    """Letting the scored split's labels be known must fail the test above."""

    def leaking(dataset: Dataset, split: str) -> np.ndarray:
        return dataset.split_mask("train", "validation", "test")

    monkeypatch.setattr("returns.past.known_labels", leaking)
    with pytest.raises(AssertionError):
        test_labels_of_the_test_split_reach_no_model(
            lambda: undated_tables, relabel, Protocol.STRICT
        )


def test_a_planted_leak_of_the_same_day_is_found(dated_tables, relabel, monkeypatch):
    from returns import history

    def leaking(keys, day, returned, known, targets, label_delay_days=0):
        return history.dated_history(keys, day, returned, known, targets, -1)

    monkeypatch.setattr("returns.past.dated_history", leaking)
    with pytest.raises(AssertionError):
        test_labels_of_the_order_and_later_reach_no_dated_order(dated_tables, relabel, "train")


def test_training_needs_both_labels(undated_tables, relabel):
    ones = np.ones(undated_tables.events.num_rows, dtype=np.int8)
    dataset, _ = index_tables(relabel(undated_tables, ones))
    with pytest.raises(ValueError, match="both kinds"):
        Preparation.fit(dataset, Protocol.STRICT)


def test_a_preparation_survives_json(make_tables):
    dataset, _ = index_tables(make_tables())
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    again = Preparation.from_json(preparation.to_json())
    assert equal(
        seen_by_models(preparation.event_set(dataset, "test")),
        seen_by_models(again.event_set(dataset, "test")),
    )
