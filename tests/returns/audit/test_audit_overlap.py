import numpy as np
import pyarrow as pa
import pytest

from data.dataset import index_tables
from data.reporter import SilentReporter
from data.sources.twin import Twin
from returns.audit.findings import Severity
from returns.audit.overlap import describe_overlap, describe_repeated_rows
from returns.audit.subject import Subject
from returns.knowledge import EventArrays
from returns.protocol import Protocol


def test_overlap_is_counted_event_by_event(make_tables):
    dataset, _ = index_tables(make_tables())
    (note,) = describe_overlap(Subject.prepare(dataset, Protocol.STRICT, 0))
    assert note.severity is Severity.NOTE
    arrays = EventArrays.of(dataset)
    events = list(zip(arrays.customer.tolist(), arrays.variant.tolist(), strict=True))
    train = [events[number] for number in np.flatnonzero(dataset.split_mask("train"))]
    test = [events[number] for number in np.flatnonzero(dataset.split_mask("test"))]
    customers, variants = ({event[place] for event in train} for place in (0, 1))
    in_train = [(customer in customers, variant in variants) for customer, variant in test]
    expected = {
        "test events, known customer": np.mean([customer for customer, _ in in_train]),
        "test events, known variant": np.mean([variant for _, variant in in_train]),
        "test events, both known": np.mean([all(known) for known in in_train]),
        "test events, neither known": np.mean([not any(known) for known in in_train]),
        "test events, known pair": np.mean([event in set(train) for event in test]),
        "test customers in train": np.mean(
            [customer in customers for customer in {customer for customer, _ in test}]
        ),
        "test variants in train": np.mean(
            [variant in variants for variant in {variant for _, variant in test}]
        ),
    }
    assert dict(note.figures) == pytest.approx(expected)


def test_repeated_rows_are_those_that_the_source_counted(tmp_path):
    tables = Twin(0.02, 0, tmp_path).read(SilentReporter())
    dataset, _ = index_tables(tables)
    (note,) = describe_repeated_rows(Subject.prepare(dataset, Protocol.STRICT, 0))
    counts = tables.counts
    for name, figure in (
        ("duplicate_events", "rows that repeat another"),
        ("conflicting_pairs", "pairs with conflicting labels"),
    ):
        assert note.figures[figure] == sum(counts[f"{name}_{half}"] for half in HALVES) > 50


HALVES = ("training", "testing")


def test_the_same_pair_on_another_day_is_no_repetition(dated):
    (before,) = describe_repeated_rows(Subject.prepare(dated, Protocol.STRICT, 0))
    first = dated.events.slice(0, 1)
    place = dated.events.column_names.index("time")
    next_day = pa.array(EventArrays.of(dated).day[:1] + 1).cast(pa.int32()).cast(pa.date32())
    later = first.set_column(place, dated.events.schema.field(place), next_day)
    for row, repeated in ((first, 1), (later, 0)):
        events = pa.concat_tables([dated.events, row])
        longer = type(dated)(events, dated.customers, dated.variants)
        (after,) = describe_repeated_rows(Subject.prepare(longer, Protocol.STRICT, 0))
        found = after.figures["rows that repeat another"]
        assert found == before.figures["rows that repeat another"] + repeated
