from dataclasses import replace

import numpy as np
import pytest

from data.dataset import index_tables
from data.reporter import SilentReporter
from returns.ablation import TakenOut, matching_columns
from returns.models.registry import create
from returns.preparation import Preparation
from returns.protocol import Protocol


@pytest.fixture
def train_and_validation(make_tables):
    dataset = index_tables(make_tables())[0]
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    return tuple(preparation.event_set(dataset, split) for split in ("train", "validation"))


def fitted(events, **hyperparameters):
    train, validation = events
    model = create("gnn", epochs=1, members=1, hidden=8, heads=2, **hyperparameters)
    model.fit(train, validation, SilentReporter())
    return model, model.predict_proba(validation)


def test_nothing_taken_out_changes_nothing(train_and_validation):
    whole = train_and_validation
    same = tuple(TakenOut().of(events) for events in whole)
    np.testing.assert_array_equal(fitted(whole)[1], fitted(same)[1])


def test_a_dropped_relation_is_heard_by_nobody_and_the_others_as_before(train_and_validation):
    train, validation = train_and_validation
    taken = TakenOut(relation="variant")
    heard, left = train.build_neighbourhood(4), taken.of(train).build_neighbourhood(4)
    assert set(left.relations) == set(heard.relations) - {"variant"}
    for name, lists in left.relations.items():
        np.testing.assert_array_equal(lists.events, heard.relations[name].events)
        assert len(lists.events) > 0
    model, _ = fitted((taken.of(train), taken.of(validation)))
    # What lies in the dropped lists cannot reach a score any more.
    strange = replace(validation, build_neighbourhood=mixed_up(validation, "variant"))
    np.testing.assert_array_equal(
        model.predict_proba(taken.of(validation)), model.predict_proba(taken.of(strange))
    )
    whole, before = fitted((train, validation))
    assert (whole.predict_proba(strange) != before).any()


def mixed_up(events, relation):
    """The same neighbours, those by one relation in reverse order of their targets."""

    def build(fan_out):
        heard = events.build_neighbourhood(fan_out)
        lists = heard.relations[relation]
        lengths = np.diff(lists.offsets)[::-1]
        turned = replace(
            lists, offsets=np.append(0, np.cumsum(lengths)), events=lists.events[::-1].copy()
        )
        return replace(heard, relations={**heard.relations, relation: turned})

    return build


def test_a_relation_or_a_column_that_is_not_there_is_refused(train_and_validation):
    train, _ = train_and_validation
    with pytest.raises(ValueError, match="no relation 'shop'; there are: customer, variant"):
        TakenOut(relation="shop").of(train).build_neighbourhood(4)
    with pytest.raises(ValueError, match="no feature column matches 'shop'"):
        TakenOut(columns="shop").of(train)


def test_without_neighbour_labels_only_columns_tell_outcomes(train_and_validation):
    train, _ = train_and_validation
    assert train.build_neighbourhood(4).label.any()
    hidden = TakenOut(neighbour_labels=True).of(train).build_neighbourhood(4)
    assert not hidden.label.any()
    assert hidden.relations.keys() == train.build_neighbourhood(4).relations.keys()


def test_without_groups_every_event_is_alone(dated):
    train = Preparation.fit(dated, Protocol.STRICT).event_set(dated, "train")
    assert train.build_neighbourhood(4).group is not None
    assert TakenOut(groups=True).of(train).build_neighbourhood(4).group is None


def test_dropped_columns_are_gone_for_every_model_and_the_rest_stay(train_and_validation):
    train, _ = train_and_validation
    pattern = "^customer_|^country$"
    dropped = matching_columns(train.features, pattern)
    assert "country" in dropped and "customer_earlier_return_rate" in dropped
    left, before = TakenOut(columns=pattern).of(train).features, train.features
    names = (*before.numeric_names, *before.categorical_names)
    assert {*left.numeric_names, *left.categorical_names} == {*names} - dropped
    for place, name in enumerate(left.numeric_names):
        column = before.numeric[:, before.numeric_names.index(name)]
        np.testing.assert_array_equal(left.numeric[:, place], column)
    for place, name in enumerate(left.categorical_names):
        position = before.categorical_names.index(name)
        np.testing.assert_array_equal(left.categorical[:, place], before.categorical[:, position])
        assert left.levels[place] == before.levels[position]


def test_the_graph_network_learns_without_any_neighbour(train_and_validation):
    model, probability = fitted(train_and_validation, fan_out=0)
    heard = train_and_validation[1].build_neighbourhood(0)
    assert all(len(lists.events) == 0 for lists in heard.relations.values())
    assert np.isfinite(probability).all() and probability.std() > 0
    assert model.hyperparameters["fan_out"] == 0
