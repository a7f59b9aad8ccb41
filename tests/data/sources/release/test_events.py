import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from data.sources.release.checking import Rows, check
from data.sources.release.events import (
    EVENTS,
    event_rows,
    is_validation_customer,
    unlabelled_event_rows,
)
from data.sources.release.layout import EVENT_TABLE, Period
from data.sources.release.reading import raw_table_of_frame

INT64 = st.integers(-(2**63), 2**63 - 1)


def events(frame: pd.DataFrame, period: Period) -> Rows:
    raw = raw_table_of_frame(frame, "event_table.p", EVENT_TABLE)
    return event_rows(check(raw, EVENT_TABLE), period)


def test_a_tenth_of_the_customers_validates() -> None:
    for keys in (np.arange(200_000), np.arange(-(2**31), 2**31, 21_474), np.arange(1000) << 50):
        share = is_validation_customer(keys.astype(np.int64)).mean()
        tolerance = 4 * np.sqrt(0.1 * 0.9 / len(keys))
        assert abs(share - 0.1) < tolerance


def test_side_of_a_customer_never_changes() -> None:
    # A model's validation customers must not train the next model.
    keys = np.arange(40, dtype=np.int64)
    assert np.flatnonzero(is_validation_customer(keys)).tolist() == [10, 18, 21]


@settings(deadline=None)
@given(st.lists(INT64, min_size=1))
def test_side_follows_from_the_key_alone(keys: list[int]) -> None:
    together = is_validation_customer(np.array(keys, dtype=np.int64))
    alone = [is_validation_customer(np.array([key], dtype=np.int64))[0] for key in keys]
    assert together.tolist() == alone


EVENT = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 1))


@settings(deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=40))
def test_repetitions_are_counted_and_kept(rows: list[tuple[int, int, int]]) -> None:
    frame = pd.DataFrame(rows, columns=["hash(customerId)", "hash(variantID)", "isReturned"])
    table, counts = events(frame, "testing")
    assert table.num_rows == len(rows)
    assert counts["duplicate_events_testing"] == len(rows) - len(set(rows))
    labels: dict[tuple[int, int], set[int]] = {}
    for customer, variant, returned in rows:
        labels.setdefault((customer, variant), set()).add(returned)
    assert counts["conflicting_pairs_testing"] == sum(len(each) == 2 for each in labels.values())


def test_splits(release: dict[str, pd.DataFrame]) -> None:
    frame = release["event_table_training"]
    table, _ = events(frame, "training")
    assert table.schema.equals(EVENTS, check_metadata=True)
    validates = is_validation_customer(frame["hash(customerId)"].to_numpy())
    expected = np.where(validates, "validation", "train").tolist()
    assert table["split"].to_pylist() == expected
    assert len(set(expected)) == 2
    assert set(events(frame, "testing")[0]["split"].to_pylist()) == {"test"}


def test_unlabelled(release: dict[str, pd.DataFrame]) -> None:
    frame = release["event_table_testing"].drop(columns="isReturned")
    raw = raw_table_of_frame(frame, "new", EVENT_TABLE, labelled=False)
    table, counts = unlabelled_event_rows(check(raw, EVENT_TABLE))
    assert table.schema.equals(EVENTS, check_metadata=True)
    assert table["returned"].null_count == table.num_rows == len(frame)
    assert set(table["split"].to_pylist()) == {"test"}
    assert counts == {}
