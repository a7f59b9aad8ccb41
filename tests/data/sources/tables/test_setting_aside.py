"""Faulty rows are kept aside, each with its reason."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.validation import InputError
from tests.data.sources.tables.conftest import LINES, changed, read, reasons


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("paid", "cheap", "column 'paid': not a number"),
        ("gift", "maybe", "column 'gift': not one of 1, 0, 1.0, 0.0, true, false"),
        ("day", "2013-02-30", "column 'day': not a date of the format %Y-%m-%d"),
        ("day", "0201-03-01", "column 'day': the order date is missing or impossible"),
        ("day", "", "column 'day': the order date is missing or impossible"),
        ("back", "2", "column 'back': label outside {0, 1}"),
        ("back", "", "column 'back': the label is missing or impossible"),
        ("line", "x", "column 'line': not a whole number"),
        ("line", "", "column 'line': the row key is missing or impossible"),
        ("who", "-", "column 'who': the customer key is missing or impossible"),
        ("sku", " ", "column 'sku + size': the variant key is missing or impossible"),
        ("receipt", "", "column 'receipt': the basket key is missing or impossible"),
        ("line", "11", "column 'line': an earlier row has the same row key"),
    ],
)
def test_a_faulty_row_is_set_aside_with_its_reason(
    folder: Path, column: str, value: str, reason: str
) -> None:
    extra = pd.DataFrame([{**LINES.iloc[0], "line": "99", column: value}])
    pd.concat([LINES, extra]).to_csv(folder / "lines.csv", index=False)
    tables = read(folder)
    assert reasons(tables) == [("lines.csv", 6, reason)]
    assert json.loads(tables.rejects["content"][0].as_py())[column] == value
    assert tables.events.num_rows == 5


def test_rows_with_conflicting_labels_all_go(folder: Path) -> None:
    again = LINES.iloc[[0, 0, 3]].assign(back=["no", "yes", "yes"])
    pd.concat([LINES, again]).to_csv(folder / "lines.csv", index=False)
    tables = read(folder)
    conflict = "column 'line': conflicting label, rows with this key disagree"
    repeated = "column 'line': an earlier row has the same row key"
    assert reasons(tables) == [
        ("lines.csv", 1, conflict),
        ("lines.csv", 6, conflict),
        ("lines.csv", 7, conflict),
        ("lines.csv", 8, repeated),
    ]
    assert tables.events["row_id"].to_pylist() == [12, 13, 14, 15]


def test_ragged_rows_are_set_aside_and_the_others_keep_their_numbers(folder: Path) -> None:
    lines = (folder / "lines.csv").read_text().splitlines()
    lines[3:3] = ["one,two", ",".join("x" * 12)]
    lines[-1] = lines[-1].replace("2013-03-09", "soon")
    (folder / "lines.csv").write_text("\n".join(lines) + "\n")
    tables = read(folder)
    assert reasons(tables) == [
        ("lines.csv", 3, "the row has 2 fields, the header 11"),
        ("lines.csv", 4, "the row has 12 fields, the header 11"),
        ("lines.csv", 7, "column 'day': not a date of the format %Y-%m-%d"),
    ]
    assert tables.rejects["content"][0].as_py() == '"one,two"'


def test_a_quote_left_open_is_named_and_what_it_swallowed_is_kept(folder: Path) -> None:
    text = (folder / "lines.csv").read_text()
    (folder / "lines.csv").write_text(text + '16,"anna\n17,ben\n18,cleo\n')
    tables = read(folder)
    ((_, row, reason),) = reasons(tables)
    assert row == 6
    assert reason.endswith("a quote that is not closed spans 3 lines")
    assert "18,cleo" in tables.rejects["content"][0].as_py()
    assert tables.events.num_rows == 5


def test_faulty_rows_of_node_files_are_set_aside_too(folder: Path) -> None:
    text = "id,born,land\nanna,1980-02-01,X\nanna,1981-02-01,X\n,1980-02-01,X\nben,80,Y\n"
    (folder / "people.csv").write_text(text)
    tables = read(folder)
    assert reasons(tables) == [
        ("people.csv", 2, "column 'id': an earlier row has the same customer key"),
        ("people.csv", 3, "column 'id': the customer key is missing or impossible"),
        ("people.csv", 4, "column 'born': not a date of the format %Y-%m-%d"),
    ]
    assert tables.customers["customer_key"].to_pylist() == ["anna"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_row_is_ever_lost_or_changed_by_its_neighbours(
    folder: Path, data: st.DataObject
) -> None:
    cells = st.sampled_from(["", "-", "x", "1", "-1", "11", "yes", "2013-02-30", "2013-01-01", '"'])
    places = st.tuples(st.integers(0, 9), st.sampled_from(list(LINES.columns)), cells)
    frame = pd.concat([LINES, LINES.assign(line=["21", "22", "23", "24", "25"])])
    frame = frame.reset_index(drop=True)
    sound = frame.copy()
    for row, column, cell in data.draw(st.lists(places, max_size=8)):
        frame.loc[row, column] = cell
    content = changed("split", {"by": "time", "test_from": "2013-03-01"})
    content["split"]["validation_from"] = "2013-02-01"
    frame.to_csv(folder / "lines.csv", index=False)
    try:
        tables = read(folder, content)
    except InputError as error:
        assert "lines.csv" in str(error)
        return
    rejected = tables.rejects["row"].to_pylist()
    assert tables.events.num_rows + len(rejected) == len(frame)
    assert len(set(rejected)) == len(rejected)
    untouched = frame.drop(index=[row - 1 for row in rejected])
    assert tables.events["row_id"].to_pylist() == untouched["line"].astype(int).tolist()
    same = (frame == sound).all(axis=1) & ~frame["line"].duplicated(keep=False)
    assert not {row - 1 for row in rejected}.intersection(same[same].index)
