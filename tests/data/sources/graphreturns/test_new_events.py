"""Events to score, from files and frames."""

from pathlib import Path

import pyarrow as pa
import pytest

from data.sources.graphreturns import (
    GraphReturns,
    new_event_columns,
    tables_from_frame,
    tables_from_rows,
)
from tests.data.sources.graphreturns.conftest import Frames, Writer, faults, read


def new_events(release: Frames, folder: Path, write: Writer) -> Path:
    """Events and nodes to score, called `_monday`; events without labels."""
    frames = {
        "event_table_monday": release["event_table_testing"].drop(columns="isReturned"),
        "customer_nodes_monday": release["customer_nodes_testing"],
        "product_nodes_monday": release["product_nodes_testing"],
    }
    return write(frames, folder)


@pytest.mark.parametrize("suffix", [".p", ".csv"])
def test_new_events_with_their_nodes(
    suffix: str, release: Frames, write: Writer, tmp_path: Path
) -> None:
    folder = new_events(release, tmp_path, lambda frames, to: write(frames, to, suffix))
    source = GraphReturns(tmp_path / "unused")
    by_file = source.read_new_events(folder / f"event_table_monday{suffix}")
    by_folder = source.read_new_events(folder)
    assert by_folder.events.equals(by_file.events)
    assert by_folder.customers.equals(by_file.customers)
    whole = read(write(release, tmp_path / "release"))
    testing = pa.compute.field("period") == "testing"
    assert by_file.customers.equals(whole.customers.filter(testing))
    assert by_file.variants.equals(whole.variants.filter(testing))
    assert by_file.events["returned"].null_count == by_file.events.num_rows == 300
    assert by_file.events.schema.equals(whole.events.schema, check_metadata=True)
    assert set(by_file.events["split"].to_pylist()) == {"test"}
    assert by_file.period_of_split["test"] == "testing"
    expected = whole.events.filter(pa.compute.field("split") == "test")
    for name in ("row_id", "customer_key", "variant_key", "split"):
        assert by_file.events[name].equals(expected[name])


def test_labels_of_new_events_are_not_looked_at(
    release: Frames, write: Writer, tmp_path: Path
) -> None:
    frame = release["event_table_testing"].astype({"isReturned": object})
    frame["isReturned"] = "unknown yet"
    path = write({"orders": frame}, tmp_path) / "orders.csv"
    tables = GraphReturns(tmp_path).read_new_events(path)
    assert tables.events.num_rows == 300
    assert tables.rejects.num_rows == tables.customers.num_rows == tables.variants.num_rows == 0
    whole = read(write(release, tmp_path / "release"))
    assert tables.customers.schema.equals(whole.customers.schema, check_metadata=True)
    assert tables.variants.schema.equals(whole.variants.schema, check_metadata=True)


def test_new_events_that_cannot_be_scored_are_set_aside(
    release: Frames, write: Writer, tmp_path: Path
) -> None:
    frame = release["event_table_testing"].astype("str").head(4)
    frame.iloc[1, 0] = "?"
    tables = GraphReturns(tmp_path).read_new_events(
        write({"event_table_x": frame}, tmp_path) / "event_table_x.csv"
    )
    assert tables.events["row_id"].to_pylist() == [1, 3, 4]
    assert tables.rejects["row"].to_pylist() == [2]


def test_faults_of_new_events(release: Frames, write: Writer, tmp_path: Path) -> None:
    source = GraphReturns(tmp_path)
    assert "no event table" in faults(lambda: source.read_new_events(tmp_path))[0]
    assert "no such file" in faults(lambda: source.read_new_events(tmp_path / "absent.csv"))[0]
    (tmp_path / "events.parquet").write_bytes(b"")
    (fault,) = faults(lambda: source.read_new_events(tmp_path / "events.parquet"))
    assert "'.parquet' are not read" in fault
    write(release, tmp_path / "release")
    (fault,) = faults(lambda: source.read_new_events(tmp_path / "release"))
    assert "event_table_testing, event_table_training" in fault
    folder = new_events(release, tmp_path / "new", write)
    for name in ("customer_nodes_monday.csv", "product_nodes_monday.csv"):
        (folder / name).write_text("a,b\n1,2\n")
    found = faults(lambda: source.read_new_events(folder))
    assert {fault.split(",")[0] for fault in found} == {
        "customer_nodes_monday.csv",
        "product_nodes_monday.csv",
    }


def test_frame_is_read_as_its_file_is(release: Frames, write: Writer, tmp_path: Path) -> None:
    frame = release["event_table_testing"]
    path = write({"events": frame}, tmp_path) / "events.csv"
    by_file = GraphReturns(tmp_path).read_new_events(path)
    for given_frame in (frame, frame.set_axis(frame.index + 5).iloc[:, [1, 0]], frame.astype(str)):
        by_frame = tables_from_frame(given_frame)
        for table in ("events", "customers", "variants", "rejects"):
            assert getattr(by_frame, table).equals(getattr(by_file, table))
        assert by_frame.period_of_split == by_file.period_of_split
        rows = pa.Table.from_pandas(given_frame, preserve_index=False)
        assert tables_from_rows(rows).events.equals(by_file.events)


def test_columns_of_new_events_are_the_two_keys() -> None:
    columns = new_event_columns()
    assert {column.name for column in columns} == {"hash(customerId)", "hash(variantID)"}
    assert all(column.is_required and column.description for column in columns)


def test_faults_of_frames(release: Frames) -> None:
    frame = release["event_table_testing"]
    (fault,) = faults(lambda: tables_from_frame(frame.drop(columns="hash(customerId)")))
    assert fault.startswith("data frame, column 'hash(customerId)'")
    assert "no rows" in faults(lambda: tables_from_frame(frame.head(0)))[0]
    keys_as_floats = frame.astype({"hash(variantID)": float})
    assert "no value is a whole number" in faults(lambda: tables_from_frame(keys_as_floats))[0]
    mixed = frame.astype({"hash(customerId)": object})
    mixed.iloc[2, 1] = "unknown"
    mixed.iloc[4, 1] = None
    tables = tables_from_frame(mixed)
    assert tables.rejects["row"].to_pylist() == [3, 5]
    assert tables.events.num_rows == 298
