from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from data.sources.release.layout import CUSTOMER_NODES, EVENT_TABLE, PRODUCT_NODES
from data.sources.release.reading import (
    RawTable,
    raw_table_of_frame,
    read_raw_table,
    unique_names,
)
from data.validation import InputError

HEADER = "hash(variantID),hash(customerId),isReturned\n"


@pytest.fixture
def event_csv(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "event_table_training.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def messages(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_raw_table(path, EVENT_TABLE)
    return [str(fault) for fault in caught.value.faults]


def rows(raw: RawTable) -> list[tuple[object, ...]]:
    return list(zip(*(column.to_pylist() for column in raw.table.columns), strict=True))


def test_names_are_made_unique_as_pandas_does() -> None:
    assert unique_names(["a", " b", "a", "a", "c__dup2"]) == ["a", "b", "a.1", "a.2", "c.1"]


def test_layouts_have_the_columns_of_the_release(release: dict[str, pd.DataFrame]) -> None:
    for layout, number in ((EVENT_TABLE, 3), (CUSTOMER_NODES, 30), (PRODUCT_NODES, 44)):
        frame = release[f"{layout.name}_training"]
        assert frame.shape[1] == number
        assert set(unique_names(list(frame.columns))) == set(layout.raw_types())


def test_clean_file_is_typed_at_once(event_csv: Callable[[str | bytes], Path]) -> None:
    raw = read_raw_table(event_csv(HEADER + "1,-2,0\n3,4,1\n"), EVENT_TABLE)
    assert raw.file == "event_table_training.csv"
    assert rows(raw) == [(-2, 1, 0), (4, 3, 1)]
    assert raw.numbers.tolist() == [1, 2]


def test_order_of_columns_and_others_do_not_matter(
    event_csv: Callable[[str | bytes], Path],
) -> None:
    text = ',isReturned,hash(customerId),note,hash(variantID)\n0,1,5,"a,b",6\n1,0,7,,8'
    assert rows(read_raw_table(event_csv(text), EVENT_TABLE)) == [(5, 6, 1), (7, 8, 0)]


def test_one_bad_value_leaves_the_others(event_csv: Callable[[str | bytes], Path]) -> None:
    raw = read_raw_table(event_csv(HEADER + "1,2,0\nx,4,1\n,6,1\n"), EVENT_TABLE)
    assert rows(raw) == [("2", "1", "0"), ("4", "x", "1"), ("6", None, "1")]


def test_ragged_rows_keep_their_numbers(event_csv: Callable[[str | bytes], Path]) -> None:
    raw = read_raw_table(event_csv(HEADER + "1,2,0\n\n3,4\n5,6,1\n7,8,9,10\n11,12,0"), EVENT_TABLE)
    assert raw.numbers.tolist() == [1, 3, 5]
    assert raw.ragged.to_pylist() == [
        {
            "file": "event_table_training.csv",
            "row": number,
            "reason": f"the row has {fields} fields, not 3",
            "content": content,
        }
        for number, fields, content in [(2, 2, '"3,4"'), (4, 4, '"7,8,9,10"')]
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_cut_files(event_csv: Callable[[str | bytes], Path], line_end: str) -> None:
    text = (HEADER + "1,2,0\n3,4").replace("\n", line_end)
    (fault,) = messages(event_csv(text))
    assert "row 2: the file ends in the middle of a row" in fault
    whole_line = read_raw_table(event_csv(text + line_end), EVENT_TABLE)
    assert whole_line.ragged["row"].to_pylist() == [2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the column is missing"),
        (HEADER, "no rows"),
        (HEADER + "1\n2\n", "none of its 2 rows has as many fields"),
        (HEADER + "1,2,0,isReturned\n", "none of its 1 rows has as many fields"),
        (HEADER.encode() + b"1,2,\xff\n", "not UTF-8"),
        (b"\xff\xfe" + HEADER.encode("utf-16-le"), "not UTF-8"),
        ("hash(variantID),isReturned,isReturned\n1,0,1\n", "'hash(customerId)': the column is mis"),
        ("hash(variantID),hash(customerId),isReturned,isReturned\n1,2,0,1\n", "there twice"),
        ("hash(variantID),hash(customerId),isReturned,isReturned.1\n1,2,0,1\n", "there twice"),
    ],
)
def test_files_that_cannot_be_used(
    event_csv: Callable[[str | bytes], Path], content: str | bytes, message: str
) -> None:
    assert any(message in fault for fault in messages(event_csv(content)))


def test_every_missing_column_is_named(event_csv: Callable[[str | bytes], Path]) -> None:
    found = messages(event_csv("a;b\n1;2\n"))
    assert len(found) == 3
    assert all("Columns found: a;b" in fault for fault in found)


def test_file_without_labels(event_csv: Callable[[str | bytes], Path]) -> None:
    path = event_csv("hash(variantID),hash(customerId)\n1,2\n")
    assert "isReturned" in messages(path)[0]
    assert rows(read_raw_table(path, EVENT_TABLE, labelled=False)) == [(2, 1)]


def test_frame_of_mixed_values() -> None:
    frame = pd.DataFrame(
        {
            "hash(variantID)": pd.Series([1, "x", None, 2**70], dtype=object),
            "hash(customerId)": [1.0, 2.0, float("nan"), 3.0],
        }
    )
    raw = raw_table_of_frame(frame, "data frame", EVENT_TABLE, labelled=False)
    assert rows(raw) == [(1.0, "1"), (2.0, "x"), (None, None), (3.0, str(2**70))]
    assert raw.numbers.tolist() == [1, 2, 3, 4]
