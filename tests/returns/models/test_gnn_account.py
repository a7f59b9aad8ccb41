"""The account of the graph network: it adds up, stands alone, and names the planted cause."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.special import logit

from data.dataset import index_tables
from data.reporter import SilentReporter
from returns.knowledge import EventArrays
from returns.models.gnn import GNN
from returns.models.gnn_account import TOGETHER, past_of
from returns.models.stack import Stack
from returns.preparation import Preparation
from returns.protocol import Protocol


def event_sets(tables, protocol=Protocol.STRICT):
    dataset, _ = index_tables(tables)
    preparation = Preparation.fit(dataset, protocol)
    return {part: preparation.event_set(dataset, part) for part in ("train", "validation", "test")}


def fitted(sets, **hyperparameters):
    model = GNN(**{"members": 2, "epochs": 3, "learning_rate": 5e-3, **hyperparameters})
    model.fit(sets["train"], sets["validation"], SilentReporter())
    return model


@pytest.mark.parametrize("protocol", list(Protocol))
def test_the_account_adds_up_to_the_log_odds(make_tables, protocol):
    test = (sets := event_sets(make_tables(), protocol))["test"]
    model = fitted(sets)
    rows = np.arange(len(test))
    found = model.contributions(test, rows)
    expected = logit(model.predict_proba(test))
    assert np.ptp(expected) > 0.2
    np.testing.assert_allclose(found.total, expected, atol=1e-3)
    assert np.ptp(found.base) < 1e-5


def test_any_rows_can_be_asked_for_in_any_order(dated_tables):
    sets = event_sets(dated_tables)
    model, test = fitted(sets), sets["test"]
    all_of_them = model.contributions(test, np.arange(len(test)))
    rows = np.array([5, 2, 5, len(test) - 1])
    found = model.contributions(test, rows)
    np.testing.assert_allclose(found.log_odds, all_of_them.log_odds[rows], atol=1e-5)
    for cause, texts in found.details.items():
        assert texts.equals(all_of_them.details[cause].take(pa.array(rows)))
    assert model.contributions(test, rows[:0]).log_odds.shape == (0, len(found.causes))


def test_neighbours_that_are_all_there_change_nothing(dated_tables):
    """The path of the account ends in the network that scores."""
    sets = event_sets(dated_tables)
    model = fitted(sets, members=1)
    network, maker = model._networks[0], model._maker(sets["test"])
    batch = maker.batch(np.arange(20))
    network.eval()
    with torch.no_grad():
        plain = network(batch)
        told = network.others(batch)
        if told is not None:
            told = told.present(torch.ones(len(batch.rows)))
        again = network.log_odds(batch.rows, batch.relations, told)
    torch.testing.assert_close(again, plain)


def test_the_planted_cause_comes_first(dated_tables, relabel):
    """Who orders decides everything: what speaks of the customer must outweigh all the rest."""
    dataset, _ = index_tables(dated_tables)
    arrays = EventArrays.of(dataset)
    sets = event_sets(relabel(dated_tables, (arrays.customer % 2).astype(np.int8)))
    model, test = fitted(sets, epochs=8), sets["test"]
    found = model.contributions(test, np.arange(len(test)))
    of_customer = np.array(["customer" in cause for cause in found.causes])
    strength = np.abs(found.log_odds).mean(axis=0)
    assert strength[of_customer].sum() > 2 * strength[~of_customer].sum()
    past = found.causes.index(past_of("customer"))
    returned = test.labels == 1
    assert found.log_odds[returned, past].mean() > found.log_odds[~returned, past].mean() + 0.3
    first = found.strongest(1)[:, 0]
    assert of_customer[first].mean() > 0.8


def test_the_past_is_told_in_words(dated_tables):
    sets = event_sets(dated_tables)
    model, test = fitted(sets, epochs=1, members=1), sets["test"]
    neighbourhood = test.build_neighbourhood(model._fan_out)
    lists = neighbourhood.relations["customer"]
    found = model.contributions(test, np.arange(len(test)))
    for row in (0, 7, len(test) - 1):
        events = lists.events[lists.offsets[row] : lists.offsets[row + 1]]
        returned = (neighbourhood.label[events] == 1).sum()
        text = f"{returned} of {len(events)} returned"
        assert found.details[past_of("customer")][row].as_py() == text


def test_lines_decided_together_are_a_cause_where_there_are_any(undated_tables):
    sets = event_sets(undated_tables, Protocol.PAPER)
    model = fitted(sets, members=1)
    maker = model._maker(sets["test"])
    found = model.contributions(sets["test"], np.arange(len(sets["test"])))
    assert maker.is_grouped
    together = found.log_odds[:, found.causes.index(TOGETHER)]
    sizes = np.bincount(maker._group)[maker._group]
    assert (together[sizes == 1] == 0).all()
    assert (together[sizes > 1] != 0).any()


def test_a_stack_adds_both_accounts(dated_tables):
    sets = event_sets(dated_tables)
    model = Stack(epochs=2)
    model.fit(sets["train"], sets["validation"], SilentReporter())
    model._share = 0.4
    found = model.contributions(sets["test"], np.arange(len(sets["test"])))
    expected = logit(model.predict_proba(sets["test"]))
    np.testing.assert_allclose(found.total, expected, atol=2e-3)
    assert past_of("customer") in found.details
