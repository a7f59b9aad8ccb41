"""The graph network over events: what it learns, what it hears, and that it is reproducible."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from data.dataset import index_tables
from data.reporter import SilentReporter
from returns.knowledge import LEARNING, EventArrays
from returns.models import gnn_training
from returns.models.dropout import draw_from
from returns.models.gnn import GNN
from returns.models.gnn_batch import BatchMaker, NeighbourEncoder
from returns.models.gnn_network import EventNetwork
from returns.models.registry import create
from returns.preparation import Preparation
from returns.protocol import Protocol


def event_sets(tables, protocol=Protocol.STRICT):
    dataset, _ = index_tables(tables)
    preparation = Preparation.fit(dataset, protocol)
    return {
        part: preparation.event_set(dataset, part)
        for part in ("train", "validation", "test", LEARNING)
    }


def fitted(sets, **hyperparameters):
    model = GNN(**{"members": 1, "epochs": 2, **hyperparameters})
    model.fit(sets["train"], sets["validation"], SilentReporter())
    return model


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_saved_network_scores_alike(make_tables, protocol, tmp_path):
    sets = event_sets(make_tables(), protocol)
    model = fitted(sets, members=2)
    model.save(tmp_path)
    expected = model.predict_proba(sets["test"])
    assert ((expected > 0) & (expected < 1)).all()
    assert np.array_equal(GNN.load(tmp_path).predict_proba(sets["test"]), expected)


@pytest.fixture(params=[1, 2])
def threads(request):
    """How many threads torch has."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_a_seed_fixes_every_bit_and_touches_no_global_generator(make_tables, threads):
    sets = event_sets(make_tables())
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (
        fitted(sets, seed=seed).predict_proba(sets["test"]) for seed in (3, 3, 4)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_number_of_threads_changes_no_score(make_tables, monkeypatch):
    sets = event_sets(make_tables())
    model = fitted(sets, members=2)
    monkeypatch.setattr(gnn_training, "SCORED_AT_ONCE", 64)
    before, scores = torch.get_num_threads(), []
    for number in (1, 3):
        torch.set_num_threads(number)
        scores.append(model.predict_proba(sets["test"]))
    torch.set_num_threads(before)
    assert np.array_equal(*scores)


@pytest.mark.parametrize("number", [1, 3])
def test_networks_learn_together_as_they_learn_alone(make_tables, number):
    """Bit for bit, each network in a thread of its own or not, for as long as each is to learn."""
    sets = event_sets(make_tables())
    model = fitted(sets)
    maker, shape = model._maker(sets["train"]), model._networks[0].architecture
    schedule = gnn_training.Schedule(
        epochs=2, learning_rate=1e-3, weight_decay=0.1, batch_size=128, seed=0
    )

    def learned(seeds, last_epochs):
        networks = []
        for seed in seeds:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                networks.append(EventNetwork(replace(shape, dropout=0.3, input_dropout=0.1)))
            draw_from(networks[-1], seed)
        events = sets["train"]
        return gnn_training.train(
            networks, last_epochs, maker, events.labels, events.weights, schedule,
            lambda epoch, learners: None,
        )  # fmt: skip

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    together = learned([0, 1, 2], [2, 1, 2])
    torch.set_num_threads(1)
    alone = [learned([seed], [last])[0] for seed, last in ((0, 2), (1, 1), (2, 2))]
    torch.set_num_threads(before)
    for one, other in zip(together, alone, strict=True):
        for mine, its in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(mine, its)


def test_the_members_log_odds_are_averaged(make_tables):
    sets = event_sets(make_tables())
    model = fitted(sets, members=3)
    maker = model._maker(sets["test"])
    alone = [
        gnn_training.log_odds_of([network], maker, len(sets["test"])) for network in model._networks
    ]
    together = gnn_training.log_odds_of(model._networks, maker, len(sets["test"]))
    assert np.array_equal(together, np.concatenate(alone))
    assert len(np.unique(together[:, 0])) == 3
    np.testing.assert_allclose(
        model.predict_proba(sets["test"]), expit(together.mean(axis=0)), rtol=1e-12
    )


def test_it_learns_who_returns(dated_tables):
    sets = event_sets(dated_tables)
    model = fitted(sets, epochs=12, learning_rate=5e-3, batch_size=128)
    assert roc_auc_score(sets["test"].labels, model.predict_proba(sets["test"])) > 0.6


def test_labels_on_or_after_a_day_change_no_earlier_score(dated_tables, relabel):
    """Not by training, not by features, not by neighbours: bit for bit."""
    dataset, _ = index_tables(dated_tables)
    arrays = EventArrays.of(dataset)
    model = fitted(event_sets(dated_tables))
    test = np.flatnonzero(dataset.split_mask("test"))
    labels = arrays.returned.copy()
    labels[test] = np.random.default_rng(0).permutation(labels[test])
    changed = event_sets(relabel(dated_tables, labels))
    assert np.array_equal(
        fitted(changed).predict_proba(changed["test"]),
        model.predict_proba(event_sets(dated_tables)["test"]),
    )


def test_an_events_own_label_reaches_no_message_of_its_own(undated_tables, relabel):
    """Flipping one training label leaves that event's own inputs as they are."""
    dataset, _ = index_tables(undated_tables)
    arrays = EventArrays.of(dataset)
    train = np.flatnonzero(dataset.split_mask("train"))
    before = event_sets(undated_tables)["train"]
    for position in range(0, len(train), 97):
        labels = arrays.returned.copy()
        labels[train[position]] = 1 - labels[train[position]]
        after = event_sets(relabel(undated_tables, labels))["train"]
        heard = [events.build_neighbourhood(8) for events in (before, after)]
        for relation in heard[0].relations:
            (_, one), (_, other) = (
                part.relations[relation].of(np.array([position])) for part in heard
            )
            assert np.array_equal(one, other)
            assert np.array_equal(heard[0].label[one], heard[1].label[other])


def test_refitting_keeps_the_number_of_epochs_and_learns_from_more(make_tables):
    sets = event_sets(make_tables())
    model = fitted(sets, epochs=3)
    before = model.predict_proba(sets["test"])
    epochs = list(model._best_epochs)
    model.refit(sets[LEARNING], SilentReporter())
    assert model._best_epochs == epochs
    assert not np.array_equal(model.predict_proba(sets["test"]), before)


def test_parts_of_a_batch_make_the_whole_batch(dated_tables):
    events = event_sets(dated_tables)["train"]
    neighbourhood = events.build_neighbourhood(4)
    from returns.dense import DenseEncoder

    rows = DenseEncoder().fit(events.features, events.weights)
    maker = BatchMaker(
        events, neighbourhood, rows, NeighbourEncoder.fit(neighbourhood, events.weights)
    )
    whole = [batch.positions for batch in maker.batches(64, np.random.default_rng(0))]
    parts = [
        [batch.positions for batch in maker.batches(64, np.random.default_rng(0), part, 2)]
        for part in (0, 1)
    ]
    assert len(whole) > 5
    for positions, one, other in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([one, other]), positions)
    assert sorted(torch.cat(whole).tolist()) == list(range(len(events)))
    for positions in whole:  # a basket is never torn apart
        inside = neighbourhood.group[positions.numpy()]
        outside = np.delete(neighbourhood.group, positions.numpy())
        assert not np.isin(inside, outside).any()


@pytest.mark.parametrize("name", ["logistic", "forest", "mlp", "xgboost", "lightgbm", "sage"])
def test_every_model_can_be_refitted(name, dated_tables):
    sets = event_sets(dated_tables)
    model = create(name, seed=0, epochs=2)
    model.fit(sets["train"], sets["validation"], SilentReporter())
    before = model.predict_proba(sets["test"])
    model.refit(sets[LEARNING], SilentReporter())
    after = model.predict_proba(sets["test"])
    assert np.isfinite(after).all()
    assert not np.array_equal(before, after)


def test_the_stack_mixes_trees_and_graph(dated_tables, tmp_path):
    sets = event_sets(dated_tables)
    model = create("stack", seed=0, epochs=2)
    model.fit(sets["train"], sets["validation"], SilentReporter())
    model.refit(sets[LEARNING], SilentReporter())
    expected = model.predict_proba(sets["test"])
    model.save(tmp_path)
    assert np.array_equal(type(model).load(tmp_path).predict_proba(sets["test"]), expected)
    trees, graph = model._trees, model._graph
    lower, upper = np.sort([part.predict_proba(sets["test"]) for part in (trees, graph)], axis=0)
    assert ((expected >= lower - 1e-12) & (expected <= upper + 1e-12)).all()
