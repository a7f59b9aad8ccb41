import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.dataset import index_tables
from data.reporter import SilentReporter
from returns.calibration import Calibration
from returns.knowledge import EventArrays
from returns.memory import Memory, split_tables
from returns.models.base import ReturnClassifier
from returns.models.gnn import GNN
from returns.models.registry import create
from returns.predictor import ReturnPredictor
from returns.preparation import Preparation
from returns.protocol import Protocol


def fit(tables, protocol: Protocol, model: ReturnClassifier | None = None) -> ReturnPredictor:
    dataset, _ = index_tables(tables)
    preparation = Preparation.fit(dataset, protocol)
    train, validation = (preparation.event_set(dataset, s) for s in ("train", "validation"))
    model = model or GNN(epochs=3)
    model.fit(train, validation, SilentReporter())
    calibration = Calibration.fit(validation.labels, model.predict_proba(validation))
    memory = Memory.of(dataset, protocol)
    return ReturnPredictor("synthetic", {}, preparation, memory, model, calibration)


def test_part(tables, protocol: Protocol):
    return split_tables(index_tables(tables)[0], ("test",), protocol)


test_part.__test__ = False


@pytest.mark.parametrize("protocol", list(Protocol))
def test_scoring_new_events_equals_scoring_the_test_split(make_tables, protocol):
    """Serving sees what evaluation saw: same features, same graph, same probabilities."""
    tables = make_tables()
    dataset, _ = index_tables(tables)
    predictor = fit(tables, protocol)
    scores = predictor.score(test_part(tables, protocol))
    test = predictor.preparation.event_set(dataset, "test")
    expected = predictor.calibration.apply(predictor.model.predict_proba(test))
    np.testing.assert_allclose(scores["probability"].to_numpy(), expected, atol=1e-5)
    row_ids = dataset.events["row_id"].filter(pa.array(dataset.split_mask("test")))
    assert scores["row_id"].combine_chunks().equals(row_ids.combine_chunks())


@pytest.mark.parametrize(
    ("model", "size"), [("xgboost", {"rounds": 3}), ("forest", {"num_trees": 2})]
)
def test_absurd_prices_hurt_neither_training_nor_scoring(dated_tables, model, size):
    """A price that single precision cannot hold is an unknown price."""
    scores = []
    for price in (1e39, None):
        tables = replace(dated_tables, events=with_price(dated_tables.events, [0, -1], price))
        predictor = fit(tables, Protocol.STRICT, create(model, 0, None, **size))
        scores.append(predictor.score(test_part(tables, Protocol.STRICT)))
    assert scores[0].equals(scores[1])


def with_price(events: pa.Table, lines: list[int], price: float | None) -> pa.Table:
    prices = events["order_price"].to_pylist()
    for line in lines:
        prices[line] = price
    position = events.column_names.index("order_price")
    return events.set_column(position, events.schema.field("order_price"), pa.array(prices))


def test_a_saved_predictor_scores_bit_identically_in_a_fresh_process(make_tables, tmp_path):
    tables = make_tables()
    predictor = fit(tables, Protocol.STRICT)
    predictor.save(tmp_path)
    new = test_part(tables, Protocol.STRICT)
    for name in ("events", "customers", "variants"):
        pq.write_table(getattr(new, name), tmp_path / f"new_{name}.parquet")
    script = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
from data.sources.base import SourceTables
from returns.predictor import ReturnPredictor
folder = Path(sys.argv[1])
names = ("events", "customers", "variants")
new = SourceTables(**{n: pq.read_table(folder / f"new_{n}.parquet") for n in names})
pq.write_table(ReturnPredictor.load(folder).score(new), folder / "scores.parquet")
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert pq.read_table(tmp_path / "scores.parquet").equals(predictor.score(new))


def test_no_pickle_is_written(make_tables, tmp_path):
    fit(make_tables(), Protocol.STRICT).save(tmp_path)
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".parquet", ".safetensors"}


def test_labels_that_come_with_new_events_change_no_bit(make_tables, relabel):
    tables = make_tables()
    predictor = fit(tables, Protocol.STRICT)
    new = test_part(tables, Protocol.STRICT)
    flipped = relabel(new, 1 - new.events["returned"].to_numpy())
    assert predictor.score(new).equals(predictor.score(flipped))


def test_permuting_the_test_labels_before_training_changes_no_test_probability(
    make_tables, relabel
):
    """The whole way, training included, is blind to the labels of the test period."""
    tables = make_tables()
    dataset, _ = index_tables(tables)
    labels, test = EventArrays.of(dataset).returned.copy(), dataset.split_mask("test")
    labels[test] = np.random.default_rng(0).permutation(labels[test])
    new = test_part(tables, Protocol.STRICT)
    first, second = (fit(t, Protocol.STRICT).score(new) for t in (tables, relabel(tables, labels)))
    assert first.equals(second)


def test_unknown_customers_and_variants_can_be_scored(make_tables):
    tables = make_tables()
    predictor = fit(tables, Protocol.STRICT)
    new = test_part(tables, Protocol.STRICT)
    strangers = np.arange(new.events.num_rows) + 10**9
    events = new.events
    for key in ("customer_key", "variant_key"):
        position = events.column_names.index(key)
        events = events.set_column(position, events.schema.field(key), pa.array(strangers))
    empty = replace(
        new, events=events, customers=new.customers.slice(0, 0), variants=new.variants.slice(0, 0)
    )
    probability = predictor.score(empty)["probability"].to_numpy()
    assert np.isfinite(probability).all()
    assert ((probability > 0) & (probability < 1)).all()


def test_neighbours_are_searched_once_for_scores_and_reasons(make_tables):
    predictor = fit(make_tables(), Protocol.STRICT)
    new = test_part(make_tables(), Protocol.STRICT)
    dataset = predictor.memory.with_new(new)
    events = predictor.preparation.event_set(dataset, "test")
    searches = []

    def search(fan_out):
        searches.append(fan_out)
        return events.build_neighbourhood(fan_out)

    counted = replace(events, build_neighbourhood=search)
    predictor.score_prepared(new.events["row_id"], counted, reasons=2)
    assert len(searches) == 1


def test_a_single_event_can_be_scored(make_tables):
    tables = make_tables()
    predictor = fit(tables, Protocol.STRICT)
    new = test_part(tables, Protocol.STRICT)
    one = replace(new, events=new.events.slice(5, 1))
    assert predictor.score(one).num_rows == 1


def test_aggregates_are_forgotten_under_the_strict_protocol(make_tables):
    dataset, _ = index_tables(make_tables())
    strict, paper = Memory.of(dataset, Protocol.STRICT), Memory.of(dataset, Protocol.PAPER)
    assert "customer_return_rate" not in strict.tables.customers.column_names
    assert "customer_return_rate" in paper.tables.customers.column_names
    assert "delivered" not in paper.tables.events.column_names


def test_another_format_version_is_refused(make_tables, tmp_path):
    fit(make_tables(), Protocol.STRICT).save(tmp_path)
    path = tmp_path / "predictor.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(ValueError, match="format version 99"):
        ReturnPredictor.load(tmp_path)
