"""However a file is cut, its scores are those of the whole file, to the last bit."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.dataset import index_tables
from data.sources.base import SourceTables
from returns.memory import split_tables
from returns.models import gnn_account, gnn_training, mlp
from returns.models.base import ALL_TOGETHER, ScoringBatches
from returns.models.gnn import GNN
from returns.models.stack import Stack
from returns.predictor import ReturnPredictor
from returns.protocol import Protocol
from returns.reasons.contributions import Explainable
from returns.resident.portions import Groups, WaitingRows, portions
from returns.resident.predictor import ResidentPredictor
from tests.returns.resident.conftest import fitted, with_column

SMALL_BATCH = 16

CASES = [
    ("dated", Protocol.STRICT, 0, "logistic"),
    ("dated", Protocol.STRICT, 0, "lightgbm"),
    ("dated", Protocol.STRICT, 0, "mlp"),
    ("dated", Protocol.STRICT, 20, "gnn"),
    ("dated", Protocol.STRICT, 0, "stack"),
    ("dated", Protocol.STRICT, 0, "sage"),
    ("dated", Protocol.PAPER, 0, "gnn"),
    ("undated", Protocol.STRICT, 0, "xgboost"),
    ("undated", Protocol.STRICT, 0, "gnn"),
    ("undated", Protocol.PAPER, 0, "gnn"),
    ("undated", Protocol.PAPER, 0, "stack"),
]


@pytest.fixture(scope="module", autouse=True)
def small_batches():
    """A small file has many batches, and so many ways to be cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gnn_training, "SCORED_AT_ONCE", SMALL_BATCH)
        patch.setattr(gnn_account, "EVENTS_AT_ONCE", SMALL_BATCH // 2)
        patch.setattr(mlp, "ROWS_AT_ONCE", SMALL_BATCH)
        for model in (GNN, Stack, mlp.MLP):
            is_graph = model is not mlp.MLP
            patch.setattr(model, "scoring_batches", ScoringBatches(SMALL_BATCH, by_group=is_graph))
        yield


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case)))
def predictor(request, tables_of) -> ReturnPredictor:
    kind, protocol, delay, name = request.param
    return fitted(tables_of(kind), protocol, delay, name)


@pytest.fixture(scope="module")
def new(predictor, tables_of) -> SourceTables:
    """Lines in no order, baskets torn apart; every third customer is new."""
    is_dated = "time" in predictor.memory.tables.events.column_names
    tables = tables_of("dated" if is_dated else "undated")
    new = split_tables(index_tables(tables)[0], ("test",), predictor.preparation.protocol)
    order = np.random.default_rng(3).permutation(new.events.num_rows)[:90]
    events = new.events.take(order)
    customer = events["customer_key"].to_numpy() + np.where(events["row_id"].to_numpy() % 3, 0, 500)
    return replace(new, events=with_column(events, "customer_key", customer))


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_scores_of_portions_are_those_of_the_whole_file(predictor, new, most):
    tables = list(ResidentPredictor.of(predictor).score_in_portions(new, most))
    assert pa.concat_tables(tables).equals(predictor.score(new))
    # The test can fail: the file was cut.
    if most < 1000 and predictor.model.scoring_batches != ALL_TOGETHER:
        assert len(tables) > 3


def test_reasons_of_portions_are_those_of_the_whole_file(predictor, new):
    if not isinstance(predictor.model, Explainable):
        pytest.skip("the model gives no reasons")
    tables = list(ResidentPredictor.of(predictor).score_in_portions(new, 20, reasons=3))
    assert pa.concat_tables(tables).equals(predictor.score(new, reasons=3))


def test_a_file_without_rows_gives_an_empty_table(predictor, new):
    nothing = replace(new, events=new.events.slice(0, 0))
    (table,) = ResidentPredictor.of(predictor).score_in_portions(nothing, 10)
    assert table.num_rows == 0
    assert table.schema.equals(predictor.score(new).schema)


@given(
    group=st.lists(st.integers(0, 30), min_size=1, max_size=80),
    size=st.integers(1, 20),
    most=st.integers(1, 40),
)
def test_portions_are_whole_batches_and_come_back_in_order(group, size, most):
    _, first, code = np.unique(group, return_index=True, return_inverse=True)
    by_appearance = np.argsort(np.argsort(first))[code]
    groups = Groups.of(by_appearance)
    waiting, handed, seen = WaitingRows(), [], 0
    batch_of_group = groups.members.offsets[:-1] // size
    for portion in portions(len(group), ScoringBatches(size, by_group=True), groups, most):
        assert portion.preceding == seen
        seen += len(portion.rows)
        inside = np.isin(np.arange(len(batch_of_group)), by_appearance[portion.rows])
        assert not set(batch_of_group[inside]) & set(batch_of_group[~inside])
        table = pa.table({"row": portion.rows})
        handed.append(waiting.complete(portion, table)["row"].to_numpy())
    assert np.array_equal(np.concatenate(handed), np.arange(len(group)))
