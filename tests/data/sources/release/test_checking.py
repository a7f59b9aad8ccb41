import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.sources.release.checking import CheckedTable, check
from data.sources.release.layout import CUSTOMER_NODES, EVENT_TABLE, PRODUCT_NODES, TableLayout
from data.sources.release.reading import RawTable, raw_table_of_frame
from data.validation import InputError

Frames = dict[str, pd.DataFrame]


def checked(frame: pd.DataFrame, layout: TableLayout) -> CheckedTable:
    return check(raw_table_of_frame(frame, "table.p", layout), layout)


def reasons(table: CheckedTable) -> dict[int, str]:
    return dict(
        zip(table.rejects["row"].to_pylist(), table.rejects["reason"].to_pylist(), strict=True)
    )


def test_valid_rows_are_all_kept(release: Frames) -> None:
    for layout in (EVENT_TABLE, CUSTOMER_NODES, PRODUCT_NODES):
        frame = release[f"{layout.name}_training"]
        table = checked(frame, layout)
        assert table.rejects.num_rows == 0
        assert table.numbers.tolist() == list(range(1, len(frame) + 1))
        names = [each.field.name for each in layout.columns] + layout.one_hot_names()
        assert table.table.column_names == names


def test_labels_beyond_0_and_1(release: Frames) -> None:
    frame = release["event_table_training"].head(5).astype({"isReturned": float})
    frame["isReturned"] = [0.0, 1.0, 2.0, np.nan, 0.5]
    table = checked(frame, EVENT_TABLE)
    assert table.table["returned"].to_pylist() == [0, 1]
    assert reasons(table) == {
        3: "column 'isReturned': neither 0 nor 1",
        4: "column 'isReturned': neither 0 nor 1",
        5: "column 'isReturned': not a whole number",
    }


def test_events_without_keys(release: Frames) -> None:
    frame = release["event_table_training"].head(3).astype({"hash(customerId)": object})
    frame.iloc[1, 1] = None
    assert reasons(checked(frame, EVENT_TABLE)) == {2: "column 'hash(customerId)': no value"}


def test_repeated_events_are_kept(release: Frames) -> None:
    frame = release["event_table_training"].head(4)
    assert checked(pd.concat([frame, frame]), EVENT_TABLE).table.num_rows == 8


def test_first_usable_row_of_a_key_is_kept(release: Frames) -> None:
    frame = release["customer_nodes_training"].head(4)
    frame = frame.astype({"yearOfBirth": object}).iloc[[0, 1, 0, 2, 1, 1, 3]]
    frame.iloc[1, 1] = "unknown"
    table = checked(frame, CUSTOMER_NODES)
    assert table.numbers.tolist() == [1, 4, 5, 7]
    assert reasons(table) == {
        2: "column 'yearOfBirth': not a whole number",
        3: "column 'hash(customerId)': the key was there before",
        6: "column 'hash(customerId)': the key was there before",
    }


def test_missing_values_of_nodes_stay_missing(release: Frames) -> None:
    frame = release["product_nodes_training"].astype(object).head(3)
    frame.iloc[1, 1:10] = None
    table = checked(frame, PRODUCT_NODES)
    assert table.rejects.num_rows == 0
    row = table.table.slice(1, 1).to_pylist()[0]
    assert row["product"] is row["product_type"] is row["average_price_gbp"] is None


def test_unreadable_columns_are_all_named(release: Frames) -> None:
    frame = release["product_nodes_training"].astype(object)
    frame["hash(variantID)"] = "v"
    frame["avgGbpPrice"] = "free"
    with pytest.raises(InputError) as caught:
        checked(frame, PRODUCT_NODES)
    assert [fault.column for fault in caught.value.faults] == ["hash(variantID)", "avgGbpPrice"]


def test_table_without_a_usable_row(release: Frames) -> None:
    frame = release["event_table_training"].head(2).assign(isReturned=2)
    with pytest.raises(InputError, match=r"no row can be used, .*neither 0 nor 1"):
        checked(frame, EVENT_TABLE)


def test_rows_are_numbered_as_in_the_file(release: Frames) -> None:
    raw = raw_table_of_frame(release["event_table_training"].head(3), "t", EVENT_TABLE)
    values = pa.chunked_array([[0, 7, 1]])
    table = raw.table.set_column(raw.table.column_names.index("isReturned"), "isReturned", values)
    ragged = pa.table([["t"], [2], ["the row has 4 fields, not 3"], ['""']], raw.ragged.schema)
    found = check(RawTable("t", table, np.array([1, 3, 4]), ragged), EVENT_TABLE)
    assert found.numbers.tolist() == [1, 4]
    assert list(reasons(found)) == [2, 3]
