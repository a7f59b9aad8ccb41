import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from data.dataset import Dataset, index_tables
from data.reporter import SilentReporter
from returns.event_set import EventSet, FeatureMatrix
from returns.graph import ORDERED_IN, PURCHASES
from returns.models import gnn_paper
from returns.models.gnn_paper import FILTERS, GNNPaper, authors_filter, deal_customers
from returns.models.gnn_paper_network import PaperNetwork, paper_graph
from returns.preparation import Preparation
from returns.protocol import Protocol


def event_sets(dataset: Dataset, protocol: Protocol) -> list[EventSet]:
    preparation = Preparation.fit(dataset, protocol)
    return [preparation.event_set(dataset, split) for split in ("train", "validation", "test")]


@pytest.fixture(params=list(Protocol))
def sets(request, make_tables):
    return event_sets(index_tables(make_tables())[0], request.param)


def test_a_saved_model_scores_the_same_to_the_last_bit(sets, tmp_path):
    train, validation, test = sets
    model = GNNPaper(seed=1, epochs=2)
    model.fit(train, validation, SilentReporter())
    model.save(tmp_path)
    probabilities = model.predict_proba(test)
    assert probabilities.dtype == np.float64
    assert np.array_equal(probabilities, GNNPaper.load(tmp_path).predict_proba(test))


def test_a_seed_fixes_the_model_and_touches_no_global_generator(sets):
    train, validation, test = sets
    state = torch.random.get_rng_state()
    probabilities = []
    for seed in (1, 1, 2):
        model = GNNPaper(seed=seed, epochs=2)
        model.fit(train, validation, SilentReporter())
        probabilities.append(model.predict_proba(test))
    assert np.array_equal(probabilities[0], probabilities[1])
    assert not np.array_equal(probabilities[0], probabilities[2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_it_learns_what_the_nodes_show(undated_tables, relabel):
    """Expensive variants are returned: their row tells it."""
    variants = undated_tables.variants.filter(
        np.equal(undated_tables.variants["period"].to_numpy(zero_copy_only=False), "training")
    )
    price = dict(
        zip(variants["variant_key"].to_pylist(), variants["price"].to_pylist(), strict=True)
    )
    middle = np.median(list(price.values()))
    keys = undated_tables.events["variant_key"].to_pylist()
    returned = np.array([price.get(key, middle) > middle for key in keys], dtype=np.int8)
    dataset, _ = index_tables(relabel(undated_tables, returned))
    train, validation, test = event_sets(dataset, Protocol.STRICT)
    model = GNNPaper(epochs=60, learning_rate=0.02)
    model.fit(train, validation, SilentReporter())
    assert roc_auc_score(test.labels, model.predict_proba(test)) > 0.9


def test_the_best_validation_weights_are_kept(sets):
    train, validation, _ = sets

    class Recorder(SilentReporter):
        def __init__(self) -> None:
            self.losses: list[float] = []

        def metrics(self, values, step):
            self.losses.append(values["validation_cross_entropy"])

    recorder = Recorder()
    model = GNNPaper(epochs=12, learning_rate=0.2, patience=3)
    model.fit(train, validation, recorder)
    probability = np.clip(model.predict_proba(validation), 1e-7, 1 - 1e-7)
    loss = log_loss(validation.labels, probability, sample_weight=validation.weights)
    assert loss == pytest.approx(min(recorder.losses), rel=1e-4)
    stopped_early = len(recorder.losses) == int(np.argmin(recorder.losses)) + 1 + 3
    assert stopped_early or len(recorder.losses) == 12


def test_an_epoch_is_one_step_however_many_batches(sets):
    """Adam's first step changes no weight by more than the learning rate."""
    train, validation, _ = sets
    model = GNNPaper(seed=4, epochs=1, customers_per_batch=10)
    model.fit(train, validation, SilentReporter())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        fresh = PaperNetwork(model._fitted().architecture)
    moved = [
        (after - before).abs().max()
        for after, before in zip(model._fitted().parameters(), fresh.parameters(), strict=True)
    ]
    assert 0 < max(moved) <= model.learning_rate * 1.001


def test_a_score_does_not_depend_on_what_is_scored_beside(sets, monkeypatch):
    train, validation, test = sets
    model = GNNPaper(epochs=2)
    model.fit(train, validation, SilentReporter())
    together = model.predict_proba(test)
    monkeypatch.setattr(gnn_paper, "SCORED_AT_ONCE", 7)
    np.testing.assert_allclose(model.predict_proba(test), together, rtol=1e-4)


def test_the_paper_graph_has_mean_features_on_virtual_nodes_and_no_labels(dated, undated):
    for dataset in (dated, undated):
        graph = event_sets(dataset, Protocol.STRICT)[0].build_graphs()[-1]
        paper = paper_graph(graph)
        assert "edge_attr" not in paper[PURCHASES]
        assert ORDERED_IN not in paper.edge_types
        member, product = graph["variant", "belongs_to", "product"].edge_index
        for node in product.unique():
            expected = paper["variant"].x[member[product == node]].mean(dim=0)
            torch.testing.assert_close(paper["product"].x[node], expected)
        has_row = paper["variant"].x[:, -1].bool()
        assert torch.equal(has_row, graph["variant"].has_row)


def test_an_event_set_of_no_events_has_no_scores(undated):
    preparation = Preparation.fit(undated, Protocol.STRICT)
    train, validation = (preparation.event_set(undated, split) for split in ("train", "validation"))
    model = GNNPaper(epochs=1)
    model.fit(train, validation, SilentReporter())
    emptied = undated.events.set_column(
        undated.events.column_names.index("split"),
        undated.events.schema.field("split"),
        [["train"] * undated.events.num_rows],
    )
    nothing = preparation.event_set(Dataset(**{**vars(undated), "events": emptied}), "test")
    assert model.predict_proba(nothing).shape == (0,)


def features_of(columns: dict[str, list[float]]) -> FeatureMatrix:
    numeric = np.array(list(columns.values()), dtype=np.float32).T
    return FeatureMatrix(numeric, np.empty((len(numeric), 0), np.int32), tuple(columns), (), ())


KEPT = {
    "customer_return_rate": 0.5,
    "returns_per_customer": 399,
    "sales_per_customer": 4,
    "year_of_birth": 1921,
    "product_return_rate": 0.99,
    "returns_per_product": 999,
    "sales_per_product": 4999,
    "average_price_gbp": 500,
}
DROPPED = {
    "customer_return_rate": [1],
    "returns_per_customer": [400],
    "sales_per_customer": [3, 500],
    "year_of_birth": [1920],
    "product_return_rate": [1],
    "returns_per_product": [1000],
    "sales_per_product": [3, 5000],
    "average_price_gbp": [500.5],
}


def test_the_authors_filters_keep_what_their_code_keeps():
    assert set(KEPT) == set(DROPPED) == set(FILTERS)
    rows = [KEPT] + [
        {**KEPT, name: value} for name in KEPT for value in (*DROPPED[name], float("nan"))
    ]
    columns = {name: [row[name] for row in rows] for name in KEPT}
    assert authors_filter(features_of(columns)).tolist() == [True] + [False] * (len(rows) - 1)
    del columns["customer_return_rate"]
    assert authors_filter(features_of(columns)).all()


def test_events_that_the_filters_drop_teach_nothing(sets, monkeypatch):
    train, validation, test = sets
    kept = np.random.default_rng(0).random(len(train)) < 0.5
    monkeypatch.setattr(gnn_paper, "authors_filter", lambda features: kept)
    other = EventSet(
        train.features,
        np.where(kept, train.labels, 1 - train.labels).astype(np.int8),
        np.where(kept, train.weights, 100).astype(np.float32),
        lambda: [flipped(graph, kept) for graph in train.build_graphs()],
        train.build_neighbourhood,
    )
    probabilities = []
    for learned_from in (train, other):
        model = GNNPaper(epochs=2)
        model.fit(learned_from, validation, SilentReporter())
        probabilities.append(model.predict_proba(test))
    assert np.array_equal(*probabilities)
    all_events = GNNPaper(epochs=2, filtered=False)
    all_events.fit(other, validation, SilentReporter())
    assert not np.array_equal(all_events.predict_proba(test), probabilities[0])


def flipped(graph, kept):
    label = graph[PURCHASES].edge_label
    graph[PURCHASES].edge_label = torch.where(
        torch.from_numpy(kept[graph.position.numpy()]), label, 1 - label
    )
    return graph


def test_filters_that_leave_nothing_are_said(sets, monkeypatch):
    train, validation, _ = sets
    monkeypatch.setattr(gnn_paper, "authors_filter", lambda features: train.labels == 1)
    with pytest.raises(ValueError, match="filters leave too little"):
        GNNPaper().fit(train, validation, SilentReporter())


@given(
    st.lists(st.integers(0, 9), max_size=40), st.integers(1, 4), st.integers(1, 3), st.integers(0)
)
def test_customers_are_dealt_into_batches_with_a_few_events_each(customers, size, most, seed):
    customer = np.array(customers, dtype=np.int64)
    batches = deal_customers(customer, size, most, np.random.default_rng(seed))
    sizes = [len(set(customer[batch])) for batch in batches]
    assert all(number == size for number in sizes[:-1])
    assert not batches or 1 <= sizes[-1] <= size
    dealt = np.concatenate([np.empty(0, dtype=np.int64), *batches])
    assert len(set(dealt)) == len(dealt)
    assert sum(sizes) == len(set(customers))
    for each in set(customers):
        assert (customer[dealt] == each).sum() == min(most, customers.count(each))


def test_an_unfitted_model_says_so(sets):
    with pytest.raises(ValueError, match="not fitted"):
        GNNPaper().predict_proba(sets[0])
