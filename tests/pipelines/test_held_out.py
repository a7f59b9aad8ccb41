"""The test split is scored with all of the past that it may know, and with nothing else."""

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from rich.console import Console

from data.dataset import Dataset, index_tables
from data.sources.base import SourceTables
from pipelines.experiment import Experiment
from pipelines.held_out import prepared_test
from pipelines.progress import ProgressReporter, progress_display
from returns.knowledge import EventArrays
from returns.memory import Memory, split_tables
from returns.preparation import Preparation
from returns.protocol import Protocol

DELAY = 2


def with_split(tables: SourceTables, split: Sequence[str]) -> SourceTables:
    """The same events, parted otherwise."""
    position = tables.events.column_names.index("split")
    field = tables.events.schema.field("split")
    return replace(tables, events=tables.events.set_column(position, field, pa.array(split)))


def by_customer(tables: SourceTables) -> SourceTables:
    """The same events, of which whole customers are held out."""
    remainder = tables.events["customer_key"].to_numpy() % 5
    parts = np.select([remainder == 0, remainder == 1], ["test", "validation"], "train")
    return with_split(tables, parts.tolist())


def prepared(dataset: Dataset) -> Experiment:
    place = (dataset, Protocol.STRICT, "tables", {}, None, DELAY, True, 0)
    with progress_display(Console(file=io.StringIO())) as progress:
        return Experiment(*place, ProgressReporter(progress))


def test_held_out_customers_are_scored_with_the_past_of_their_day(dated_tables):
    dataset, _ = index_tables(by_customer(dated_tables))
    experiment = prepared(dataset)
    features = experiment.test.features
    labelled = features.numeric[:, features.numeric_names.index("variant_earlier_labelled")]
    arrays = EventArrays.of(dataset)
    known = dataset.split_mask("train", "validation")
    test = np.flatnonzero(dataset.split_mask("test"))
    assert len(experiment.test) == len(experiment.test_labels) == len(test)
    expected = [
        np.count_nonzero(
            known
            & (arrays.variant == arrays.variant[each])
            & (arrays.day + DELAY < arrays.day[each])
        )
        for each in test
    ]
    assert labelled.tolist() == expected
    assert labelled.mean() > 3


def test_labels_of_held_out_customers_reach_no_model(dated_tables, relabel):
    tables = by_customer(dated_tables)
    dataset, _ = index_tables(tables)
    labels = EventArrays.of(dataset).returned.copy()
    test = dataset.split_mask("test")
    labels[test] = 1 - labels[test]
    seen = [prepared(each).test for each in (dataset, index_tables(relabel(tables, labels))[0])]
    matrices = [events.features.numeric for events in seen]
    assert np.array_equal(*matrices, equal_nan=True)
    told = [events.build_neighbourhood(4).label for events in seen]
    assert np.array_equal(*told)


def test_a_test_that_comes_last_takes_the_road_of_new_events(make_tables):
    dataset, _ = index_tables(make_tables())
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    memory = Memory.of(dataset, Protocol.STRICT)
    found = prepared_test(dataset, preparation, memory)
    new = memory.with_new(split_tables(dataset, ("test",), Protocol.STRICT))
    expected = preparation.event_set(new, "test")
    assert np.array_equal(found.features.numeric, expected.features.numeric, equal_nan=True)
    assert np.array_equal(found.labels, expected.labels)


def test_one_early_line_of_the_test_takes_no_past_from_the_others(dated_tables):
    late, _ = index_tables(dated_tables)
    parts = dated_tables.events["split"].to_pylist()
    early, _ = index_tables(with_split(dated_tables, ["test", *parts[1:]]))
    preparation = Preparation.fit(late, Protocol.STRICT)
    place = preparation.event_set(late, "test").features.numeric_names.index(
        "all_last_2000_return_rate"
    )
    rates = [
        prepared_test(each, preparation, Memory.of(each, Protocol.STRICT)).features.numeric[
            :, place
        ]
        for each in (late, early)
    ]
    assert len(rates[1]) == len(rates[0]) + 1
    np.testing.assert_allclose(rates[1][1:], rates[0], atol=0.001)
