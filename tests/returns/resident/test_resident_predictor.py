"""The resident form gives, to the last bit, what the whole memory gives."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from data.dataset import index_tables
from data.sources.base import SourceTables
from returns.memory import split_tables
from returns.predictor import ReturnPredictor
from returns.protocol import Protocol
from returns.resident.predictor import ResidentPredictor
from tests.returns.resident.conftest import fitted, with_column

CASES = [
    ("dated", Protocol.STRICT, 0),
    ("dated", Protocol.STRICT, 20),
    ("open", Protocol.STRICT, 0),
    ("open", Protocol.STRICT, 20),
    ("undated", Protocol.STRICT, 0),
    ("undated", Protocol.PAPER, 0),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def predictor(request, tables_of) -> ReturnPredictor:
    kind, protocol, delay = request.param
    return fitted(tables_of(kind), protocol, delay, "gnn")


@pytest.fixture(scope="module")
def resident(predictor) -> ResidentPredictor:
    return ResidentPredictor.of(predictor)


@pytest.fixture(scope="module")
def later(predictor, tables_of) -> SourceTables:
    is_dated = "time" in predictor.memory.tables.events.column_names
    tables = tables_of("dated" if is_dated else "undated")
    return split_tables(index_tables(tables)[0], ("test",), predictor.preparation.protocol)


def one_line(new: SourceTables) -> SourceTables:
    return replace(new, events=new.events.slice(5, 1))


def the_lines_of_one_day(new: SourceTables) -> SourceTables:
    if "time" not in new.events.column_names:
        return replace(new, events=new.events.slice(10, 5))
    day = new.events["time"][40]
    return replace(new, events=new.events.filter(pa.compute.equal(new.events["time"], day)))


def all_lines(new: SourceTables) -> SourceTables:
    return new


def shuffled_lines(new: SourceTables) -> SourceTables:
    order = np.random.default_rng(3).permutation(new.events.num_rows)[:150]
    return replace(new, events=new.events.take(order))


def no_node_rows(new: SourceTables) -> SourceTables:
    return replace(new, customers=new.customers.slice(0, 0), variants=new.variants.slice(0, 0))


def strangers(new: SourceTables) -> SourceTables:
    """Every third customer and every fourth variant is new, some of them with a node row."""
    events, tables = new.events, {}
    for name, step in (("customer", 3), ("variant", 4)):
        key = events[f"{name}_key"].to_numpy().copy()
        key[::step] += 10**9
        events = with_column(events, f"{name}_key", key)
        nodes = getattr(new, f"{name}s")
        rows = nodes.slice(0, 20)
        moved = with_column(rows, f"{name}_key", rows[f"{name}_key"].to_numpy() + 10**9)
        tables[f"{name}s"] = pa.concat_tables([nodes, moved])
    return replace(new, events=events, **tables)


def long_ago(new: SourceTables) -> SourceTables:
    """Dated lines amid what is remembered: only what was known before counts."""
    if "time" not in new.events.column_names:
        return new
    days = new.events["time"].cast(pa.int32()).to_numpy() - 70
    return replace(new, events=with_column(new.events, "time", days.astype("datetime64[D]")))


def before_everything(new: SourceTables) -> SourceTables:
    if "time" not in new.events.column_names:
        return new
    days = np.full(new.events.num_rows, "2001-01-01", dtype="datetime64[D]")
    return replace(new, events=with_column(new.events, "time", days))


@pytest.mark.parametrize(
    "request_of",
    [
        one_line,
        the_lines_of_one_day,
        all_lines,
        shuffled_lines,
        no_node_rows,
        strangers,
        long_ago,
        before_everything,
    ],
)
def test_scores_are_the_same_to_the_last_bit(
    predictor, resident, later, request_of: Callable[[SourceTables], SourceTables]
):
    new = request_of(later)
    expected, found = predictor.score(new), resident.score(new)
    assert found.equals(expected)
    assert np.isfinite(found["probability"].to_numpy()).all()


@pytest.mark.parametrize("request_of", [the_lines_of_one_day, shuffled_lines, strangers])
def test_features_are_the_same_to_the_last_bit(predictor, resident, later, request_of):
    """Not only what one model reads of them."""
    new = request_of(later)
    whole = predictor.preparation.event_set(predictor.memory.with_new(new), "test")
    small = resident.event_set(new)
    assert small.features.numeric_names == whole.features.numeric_names
    assert np.array_equal(small.features.numeric, whole.features.numeric, equal_nan=True)
    assert np.array_equal(small.features.categorical, whole.features.categorical)
    assert np.array_equal(small.weights, whole.weights)


@pytest.mark.parametrize("request_of", [the_lines_of_one_day, shuffled_lines, strangers])
@pytest.mark.parametrize("fan_out", [1, 4])
def test_the_same_events_are_heard(predictor, resident, later, request_of, fan_out):
    new = request_of(later)
    whole = predictor.preparation.event_set(predictor.memory.with_new(new), "test")
    expected, found = (
        each.build_neighbourhood(fan_out) for each in (whole, resident.event_set(new))
    )
    assert found.keys == expected.keys
    assert found.quantity_names == expected.quantity_names
    assert (found.group is None) == (expected.group is None)
    if found.group is not None:
        assert np.array_equal(found.group, expected.group)
    assert set(found.relations) == set(expected.relations)
    for name, lists in found.relations.items():
        theirs = expected.relations[name]
        assert np.array_equal(lists.offsets, theirs.offsets)
        for column in ("label", "day", "quantities"):
            one, other = getattr(found, column), getattr(expected, column)
            if one is not None:
                heard = one[lists.events], other[theirs.events]
                assert np.array_equal(*heard, equal_nan=column == "quantities")
        owner = np.repeat(np.arange(len(lists.offsets) - 1), np.diff(lists.offsets))
        assert np.array_equal(
            *(
                (each.codes[part.events] == each.codes[each.targets][owner])
                & (each.codes[each.targets][owner] >= 0)
                for each, part in ((found, lists), (expected, theirs))
            )
        )


def test_graphs_are_those_of_the_whole_memory(dated_tables):
    predictor = fitted(dated_tables, Protocol.STRICT, 0, "sage")
    new = split_tables(index_tables(dated_tables)[0], ("test",), Protocol.STRICT)
    assert ResidentPredictor.of(predictor).score(new).equals(predictor.score(new))


def test_labels_that_come_with_a_request_change_no_bit(resident, later, relabel):
    flipped = relabel(later, 1 - later.events["returned"].to_numpy())
    assert resident.score(flipped).equals(resident.score(later))


def test_remembered_labels_change_scores_where_labels_travel(predictor, later, relabel):
    """The tests above can fail: what is remembered is heard."""
    tables = predictor.memory.tables
    other = relabel(tables, pa.compute.subtract(1, tables.events["returned"]).to_pylist())
    changed = replace(predictor, memory=replace(predictor.memory, tables=other))
    one, two = (ResidentPredictor.of(each).score(later) for each in (predictor, changed))
    assert one.equals(two) is (predictor.preparation.protocol is Protocol.PAPER)
