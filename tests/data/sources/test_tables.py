import json
from copy import deepcopy
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.dataset import index_tables, ingest, open_dataset
from data.reporter import SilentReporter
from data.schema import Role, role_of
from data.sources.base import SourceTables
from data.sources.mapping import parse_mapping
from data.sources.tables import Tables
from data.validation import InputError

MAPPING: dict[str, Any] = {
    "events": {
        "file": "lines.csv",
        "nulls": ["-"],
        "row_id": "line",
        "customer": "who",
        "variant": ["sku", "size"],
        "returned": "back",
        "time": "day",
        "basket": "receipt",
        "columns": {
            "line": {"type": "integer"},
            "back": {"type": "flag", "values": {"yes": 1, "no": 0}},
            "paid": {"role": "order", "type": "number", "unit": "EUR", "minimum": 0},
            "gift": {"role": "order", "type": "flag"},
            "voucher": {"role": "attribute", "of": "order", "type": "category"},
            "shipped": {"role": "after", "type": "date"},
        },
    },
    "customers": {
        "file": "people.csv",
        "customer": "id",
        "columns": {
            "born": {"role": "profile", "type": "date"},
            "land": {"role": "attribute", "type": "category"},
        },
    },
    "variants": {
        "file": "goods.csv",
        "variant": ["sku", "size"],
        "columns": {"weight": {"role": "catalogue", "type": "integer", "unit": "g"}},
    },
}
LINES = pd.DataFrame(
    {
        "line": ["11", "12", "13", "14", "15"],
        "who": ["anna", "anna", "ben", "cleo", "cleo"],
        "sku": ["A", "A", "B", "A", "C"],
        "size": ["m", "l", "-", "m", "m"],
        "back": ["yes", "no", "no", "yes", "no"],
        "day": ["2013-01-30", "2013-01-30", "2013-02-11", "2013-03-01", "2013-03-09"],
        "receipt": ["r1", "r1", "r2", "r3", "r4"],
        "paid": ["10.5", "7", "-", "10.5", "0"],
        "gift": ["0", "1", "0", "0", "-"],
        "voucher": ["spring", "-", "-", "spring", "-"],
        "shipped": ["2013-02-01", "2013-02-01", "-", "2013-03-04", "-"],
    }
)
PEOPLE = pd.DataFrame(
    {"id": ["anna", "ben", "dora"], "born": ["1980-02-01", "-", "1990-05-05"], "land": list("XYX")}
)
GOODS = pd.DataFrame({"sku": list("AAB"), "size": ["m", "l", ""], "weight": ["100", "120", "80"]})


def _changed(path: str, value: object) -> dict[str, Any]:
    content = deepcopy(MAPPING)
    *parents, last = path.split("/")
    entry = content
    for parent in parents:
        entry = entry[parent]
    entry[last] = value
    return content


def _source(content: dict[str, Any], folder: Path) -> Tables:
    return Tables(parse_mapping(content, "mine.yaml"), folder)


def _read(folder: Path, content: dict[str, Any] = MAPPING) -> SourceTables:
    return _source(content, folder).read(SilentReporter())


def _faults(folder: Path, content: dict[str, Any] = MAPPING) -> list[str]:
    with pytest.raises(InputError) as caught:
        _read(folder, content)
    return [str(fault) for fault in caught.value.faults]


def _reasons(tables: SourceTables) -> list[tuple[str, int, str]]:
    rejects = tables.rejects.select(["file", "row", "reason"]).to_pylist()
    return [(each["file"], each["row"], each["reason"]) for each in rejects]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    LINES.to_csv(tmp_path / "lines.csv", index=False)
    PEOPLE.replace("-", "").to_csv(tmp_path / "people.csv", index=False)
    GOODS.to_csv(tmp_path / "goods.csv", index=False)
    return tmp_path


def test_three_files_become_three_tables(folder: Path) -> None:
    tables = _read(folder)
    assert tables.rejects.num_rows == 0
    assert tables.events.to_pylist()[2] == {
        "row_id": 13,
        "customer_key": "ben",
        "variant_key": "B|",
        "returned": 0,
        "split": "validation",
        "time": date(2013, 2, 11),
        "basket_key": "r2",
        "paid": None,
        "gift": 0,
        "voucher": None,
        "shipped": None,
    }
    assert tables.customers.to_pylist()[:2] == [
        {"customer_key": "anna", "born": date(1980, 2, 1), "land": "X"},
        {"customer_key": "ben", "born": None, "land": "Y"},
    ]
    assert tables.variants.to_pylist() == [
        {"variant_key": "A|m", "weight": 100},
        {"variant_key": "A|l", "weight": 120},
        {"variant_key": "B|", "weight": 80},
    ]
    roles = {field.name: role_of(field) for table in (tables.events, tables.customers,
             tables.variants) for field in table.schema}  # fmt: skip
    assert roles["voucher"] is Role.ATTRIBUTE
    assert roles["shipped"] is Role.AFTER
    assert roles["born"] is Role.PROFILE
    assert roles["weight"] is Role.CATALOGUE
    assert tables.variants.schema.field("weight").metadata[b"unit"] == b"g"


def test_events_point_at_their_node_rows_and_orphans_at_none(folder: Path) -> None:
    dataset, manifest = open_dataset(
        ingest(_source(MAPPING, folder), folder / "datasets", SilentReporter())
    )
    keys = dataset.customers["customer_key"].take(dataset.events["customer_row"]).to_pylist()
    assert keys == ["anna", "anna", "ben", None, None]
    assert dataset.events["basket"].to_pylist() == [0, 0, 1, 2, 3]
    assert manifest.counts["events_without_variant_row_test"] == 1
    assert [file.name for file in manifest.files] == ["lines.csv", "people.csv", "goods.csv"]
    assert manifest.options == {"mapping": parse_mapping(MAPPING, "").as_json()}


def test_mapping_file_stands_beside_its_tables_and_may_be_given_other_days(folder: Path) -> None:
    path = folder / "mine.yaml"
    path.write_text(json.dumps(MAPPING))
    assert Tables(path).read(SilentReporter()).events.equals(_read(folder).events)
    source = Tables.from_file(path, test_from=date(2013, 3, 5))
    tables = source.read(SilentReporter())
    parts = ["train", "train", "validation", "validation", "test"]
    assert tables.events["split"].to_pylist() == parts
    assert tables.counts["test_from"] == 20130305
    path.write_text(json.dumps({**MAPPING, "split": {"by": "customer"}}))
    with pytest.raises(InputError, match="unknown key 'test_from'"):
        Tables.from_file(path, test_from=date(2013, 3, 5))


def test_source_is_rebuilt_from_json_options(folder: Path) -> None:
    source = _source(MAPPING, folder)
    options = json.loads(json.dumps(source.options))
    again = Tables.from_options(options, folder)
    assert again.options == source.options
    assert again.read(SilentReporter()).events.equals(source.read(SilentReporter()).events)
    with pytest.raises(InputError, match="options of the source 'tables'"):
        Tables.from_options({"mapping": {"events": {}}})


@pytest.mark.parametrize("form", ["gzip", "semicolon", "parquet text", "parquet typed", "order"])
def test_the_same_rows_in_another_form_give_the_same_tables(folder: Path, form: str) -> None:
    expected = _read(folder)
    entry = deepcopy(MAPPING["events"])
    (folder / "lines.csv").unlink()
    if form == "gzip":
        entry["file"] = "lines.csv.gz"
        LINES.to_csv(folder / "lines.csv.gz", index=False)
    elif form == "semicolon":
        entry |= {"delimiter": ";", "decimal": ",", "date_format": "%d.%m.%Y"}
        german = LINES.assign(paid=LINES["paid"].str.replace(".", ","))
        for column in ("day", "shipped"):
            german[column] = LINES[column].str.replace(
                r"(\d+)-(\d+)-(\d+)", r"\3.\2.\1", regex=True
            )
        german.to_csv(folder / "lines.csv", index=False, sep=";")
    elif form == "order":
        LINES[LINES.columns[::-1]].to_csv(folder / "lines.csv", index=False)
    else:
        entry["file"] = "lines.parquet"
        _parquet_lines(typed=form == "parquet typed").to_parquet(folder / "lines.parquet")
    tables = _read(folder, {**MAPPING, "events": entry})
    assert tables.events.equals(expected.events)
    assert tables.counts == expected.counts


def _parquet_lines(typed: bool) -> pd.DataFrame:
    if not typed:
        return LINES
    numbers = {
        column: pd.to_numeric(LINES[column], errors="coerce") for column in ("line", "paid", "gift")
    }
    return LINES.replace("-", None).assign(
        **numbers,
        day=pd.to_datetime(LINES["day"]).dt.tz_localize("Europe/Berlin") + pd.Timedelta("23h"),
        shipped=pd.to_datetime(LINES["shipped"], errors="coerce").dt.date,
        who=LINES["who"].astype("category"),
    )


def test_row_numbers_identify_rows_without_a_key(folder: Path) -> None:
    content = deepcopy(MAPPING)
    del content["events"]["row_id"], content["events"]["columns"]["line"]
    content["events"]["unmentioned"] = "ignore"
    LINES.assign(paid=["1", "cheap", "1", "1", "1"]).to_csv(folder / "lines.csv", index=False)
    tables = _read(folder, content)
    assert tables.events["row_id"].to_pylist() == [1, 3, 4, 5]
    assert tables.rejects["row"].to_pylist() == [2]


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
    tables = _read(folder)
    assert _reasons(tables) == [("lines.csv", 6, reason)]
    assert json.loads(tables.rejects["content"][0].as_py())[column] == value
    assert tables.events.num_rows == 5


def test_rows_with_conflicting_labels_all_go(folder: Path) -> None:
    again = LINES.iloc[[0, 0, 3]].assign(back=["no", "yes", "yes"])
    pd.concat([LINES, again]).to_csv(folder / "lines.csv", index=False)
    tables = _read(folder)
    conflict = "column 'line': conflicting label, rows with this key disagree"
    repeated = "column 'line': an earlier row has the same row key"
    assert _reasons(tables) == [
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
    tables = _read(folder)
    assert _reasons(tables) == [
        ("lines.csv", 3, "the row has 2 fields, the header 11"),
        ("lines.csv", 4, "the row has 12 fields, the header 11"),
        ("lines.csv", 7, "column 'day': not a date of the format %Y-%m-%d"),
    ]
    assert tables.rejects["content"][0].as_py() == '"one,two"'


def test_a_quote_left_open_is_named_and_what_it_swallowed_is_kept(folder: Path) -> None:
    text = (folder / "lines.csv").read_text()
    (folder / "lines.csv").write_text(text + '16,"anna\n17,ben\n18,cleo\n')
    tables = _read(folder)
    ((_, row, reason),) = _reasons(tables)
    assert row == 6
    assert reason.endswith("a quote that is not closed spans 3 lines")
    assert "18,cleo" in tables.rejects["content"][0].as_py()
    assert tables.events.num_rows == 5


def test_faulty_rows_of_node_files_are_set_aside_too(folder: Path) -> None:
    text = "id,born,land\nanna,1980-02-01,X\nanna,1981-02-01,X\n,1980-02-01,X\nben,80,Y\n"
    (folder / "people.csv").write_text(text)
    tables = _read(folder)
    assert _reasons(tables) == [
        ("people.csv", 2, "column 'id': an earlier row has the same customer key"),
        ("people.csv", 3, "column 'id': the customer key is missing or impossible"),
        ("people.csv", 4, "column 'born': not a date of the format %Y-%m-%d"),
    ]
    assert tables.customers["customer_key"].to_pylist() == ["anna"]


def test_quoted_fields_may_hold_line_breaks_and_delimiters(folder: Path) -> None:
    LINES.assign(voucher='for "you",\nand me').to_csv(folder / "lines.csv", index=False)
    assert _read(folder).events["voucher"][0].as_py() == 'for "you",\nand me'


def test_unmentioned_columns_are_a_fault_unless_ignored(folder: Path) -> None:
    LINES.assign(agent="x", note="y").to_csv(folder / "lines.csv", index=False)
    (fault,) = _faults(folder)
    assert "columns that the mapping does not mention: agent, note" in fault
    assert _read(folder, _changed("events/unmentioned", "ignore")).events.num_rows == 5
    named = deepcopy(MAPPING)
    named["events"]["columns"] |= {"agent": "ignore", "note": {"role": "ignore"}}
    assert "agent" not in _read(folder, named).events.column_names


def _latin(folder: Path) -> None:
    LINES.assign(voucher="für dich").to_csv(folder / "lines.csv", index=False, encoding="latin-1")


def _utf16(folder: Path) -> None:
    LINES.to_csv(folder / "lines.csv", index=False, encoding="utf-16")


def _repeated_column(folder: Path) -> None:
    pd.concat([LINES, LINES[["paid"]]], axis=1).to_csv(folder / "lines.csv", index=False)


def _unclosed_quote(folder: Path) -> None:
    text = (folder / "lines.csv").read_text().replace("anna", '"anna', 1)
    (folder / "lines.csv").write_text(text)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda folder: (folder / "lines.csv").unlink(), "there is no such file"),
        (lambda folder: (folder / "lines.csv").write_bytes(b""), "the file is empty"),
        (lambda folder: (folder / "lines.csv").write_bytes(b"\n\n"), "the file is empty"),
        (lambda folder: LINES[:0].to_csv(folder / "lines.csv", index=False), "has no rows"),
        (
            lambda folder: LINES.to_csv(folder / "lines.csv", index=False, sep=";"),
            "only one column was found with the delimiter ','. Set `delimiter: \";\"`",
        ),
        (
            lambda folder: LINES.drop(columns="paid").to_csv(folder / "lines.csv", index=False),
            "column 'paid': the column is missing",
        ),
        (_repeated_column, "column 'paid': the column is there twice"),
        (_latin, "the text is not UTF-8"),
        (_utf16, "the text is not UTF-8"),
        (_unclosed_quote, "none of its 1 rows has as many fields as the header"),
        (
            lambda folder: LINES.assign(day="12.04.2012").to_csv(folder / "lines.csv", index=False),
            "column 'day': not one of its values is a date of the format %Y-%m-%d",
        ),
        (
            lambda folder: LINES.assign(back="1").to_csv(folder / "lines.csv", index=False),
            "column 'back': not one of its values is one of yes, no",
        ),
        (
            lambda folder: LINES.assign(who="").to_csv(folder / "lines.csv", index=False),
            "every row was set aside: 5 times column 'who'",
        ),
        (
            lambda folder: LINES[:2].to_csv(folder / "lines.csv", index=False),
            "no row would be train or validation; train_from 20130130; validation_from 20121201",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(
    folder: Path, damage: Any, expected: str
) -> None:
    damage(folder)
    (fault,) = _faults(folder)
    assert "lines.csv" in fault
    assert expected in fault


@pytest.mark.parametrize("file", ["lines.parquet", "lines.csv.gz"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_and_foreign_files_are_refused(folder: Path, file: str, share: float) -> None:
    many = pd.concat([LINES] * 2000)
    path = folder / file
    many.to_parquet(path) if file.endswith("parquet") else many.to_csv(path, index=False)
    whole = path.read_bytes()
    for content in (whole[: int(len(whole) * share)], b"no such format"):
        path.write_bytes(content)
        (fault,) = _faults(folder, _changed("events/file", file))
        assert f"{file}: the file is damaged or of another format" in fault


def test_nested_parquet_values_are_refused(folder: Path) -> None:
    table = pa.Table.from_pandas(LINES.drop(columns="paid"), preserve_index=False)
    nested = pa.array([[1.0]] * 5)
    pq.write_table(table.append_column("paid", nested), folder / "lines.parquet")
    (fault,) = _faults(folder, _changed("events/file", "lines.parquet"))
    assert "column 'paid': values of type list<" in fault


def test_faults_of_all_files_are_reported_together(folder: Path) -> None:
    LINES.drop(columns=["paid", "who"]).to_csv(folder / "lines.csv", index=False)
    PEOPLE.assign(born="x").to_csv(folder / "people.csv", index=False)
    (folder / "goods.csv").write_bytes(b"")
    faults = _faults(folder)
    assert [fault.split(":")[0] for fault in faults] == [
        "lines.csv, column 'paid'",
        "lines.csv, column 'who'",
        "people.csv, column 'born'",
        "goods.csv",
    ]


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
    content = _changed("split", {"by": "time", "test_from": "2013-03-01"})
    content["split"]["validation_from"] = "2013-02-01"
    frame.to_csv(folder / "lines.csv", index=False)
    try:
        tables = _read(folder, content)
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


@pytest.mark.parametrize("drop", [[], ["back", "shipped"]])
def test_new_events_need_neither_label_nor_later_columns(folder: Path, drop: list[str]) -> None:
    new = LINES.drop(columns=drop).assign(note="unknown to the mapping")
    new.to_csv(folder / "new.csv", index=False)
    source = _source(MAPPING, Path("nowhere"))
    from_file = source.read_new_events(folder / "new.csv")
    from_frame = source.tables_from_frame(new.replace("-", None))
    for tables in (from_file, from_frame):
        assert tables.events.schema.equals(_read(folder).events.schema, check_metadata=True)
        assert tables.events["returned"].null_count == 5
        assert tables.events["shipped"].null_count == 5
        assert set(tables.events["split"].to_pylist()) == {"test"}
        assert tables.customers.num_rows == tables.variants.num_rows == 0
        assert tables.customers.schema.equals(_read(folder).customers.schema, check_metadata=True)
        assert index_tables(tables)[0].events["customer_row"].null_count == 5
    assert from_file.events.equals(from_frame.events)


def test_new_events_of_a_folder_bring_their_node_files(folder: Path) -> None:
    (folder / "goods.csv").unlink()
    tables = _source(MAPPING, Path("nowhere")).read_new_events(folder)
    assert tables.customers["customer_key"].to_pylist() == ["anna", "ben", "dora"]
    assert tables.variants.num_rows == 0


def test_new_events_with_faulty_rows_are_set_aside_even_if_all_are(folder: Path) -> None:
    bad = LINES[:1].assign(paid="cheap")
    tables = _source(MAPPING, folder).tables_from_frame(bad)
    assert tables.events.num_rows == 0
    assert _reasons(tables) == [("events", 1, "column 'paid': not a number")]
    assert index_tables(tables)[0].events.num_rows == 0
    mixed = pd.concat([LINES, bad.assign(line="99")])
    mixed.to_csv(folder / "new.csv", index=False)
    assert _source(MAPPING, folder).read_new_events(folder / "new.csv").rejects.num_rows == 1


def test_new_events_that_lack_a_column_are_refused(folder: Path) -> None:
    lacking = LINES.drop(columns=["paid", "day"])
    with pytest.raises(InputError, match=r"(?s)'paid': the column is missing.*'day'"):
        _source(MAPPING, folder).tables_from_frame(lacking)


def test_frames_of_mixed_types_are_read_as_text(folder: Path) -> None:
    frame = LINES.assign(paid=pd.Series([1, "2.5", None, 3.0, "x"], dtype=object))
    frame["day"] = [datetime(2013, 1, 30, 12)] * 5
    tables = _source(MAPPING, folder).tables_from_frame(frame)
    assert tables.events["paid"].to_pylist() == [1.0, 2.5, None, 3.0]
    assert _reasons(tables) == [("events", 5, "column 'paid': not a number")]


FLAT: dict[str, Any] = {
    "events": {
        "file": "flat.csv",
        "customer": "who",
        "variant": "sku",
        "returned": "back",
        "columns": {
            "land": {"role": "attribute", "of": "customer", "type": "category"},
            "past_rate": {"role": "aggregate", "of": "customer", "type": "number"},
            "price": {"role": "catalogue", "type": "number"},
        },
    }
}
FLAT_LINES = pd.DataFrame(
    {
        "who": ["a", "a", "b", "c"],
        "sku": ["1", "2", "1", "1"],
        "back": ["1", "0", "0", "1"],
        "land": ["X", "Y", "X", "Z"],
        "past_rate": ["0.5", "0.5", "0", "1"],
        "price": ["9", "8", "9", "9"],
        "part": ["train", "Test", "validation", "test"],
    }
)


def test_undated_flat_lines_with_a_column_that_splits(tmp_path: Path) -> None:
    content = {**FLAT, "split": {"by": "column", "column": "part"}}
    odd = FLAT_LINES[:1].assign(part="holdout")
    pd.concat([FLAT_LINES, odd]).to_csv(tmp_path / "flat.csv", index=False)
    tables = _read(tmp_path, content)
    assert tables.events.column_names == [
        "row_id", "customer_key", "variant_key", "returned", "split"
    ]  # fmt: skip
    assert tables.events["split"].to_pylist() == ["train", "test", "validation", "test"]
    assert tables.customers.to_pylist() == [
        {"customer_key": "a", "land": "X", "past_rate": 0.5},
        {"customer_key": "b", "land": "X", "past_rate": 0.0},
        {"customer_key": "c", "land": "Z", "past_rate": 1.0},
    ]
    assert tables.variants.to_pylist() == [
        {"variant_key": "1", "price": 9.0},
        {"variant_key": "2", "price": 8.0},
    ]
    assert tables.counts["customers_with_differing_rows"] == 1
    assert tables.counts["variants_with_differing_rows"] == 0
    assert _reasons(tables) == [
        ("flat.csv", 5, "column 'part': not one of train, validation, test")
    ]


def test_aggregates_are_optional_in_new_events(tmp_path: Path) -> None:
    content = {**FLAT, "split": {"by": "column", "column": "part"}}
    new = FLAT_LINES.drop(columns=["past_rate", "part", "back"])
    tables = _source(content, tmp_path).tables_from_frame(new)
    assert tables.customers["past_rate"].null_count == 3
    assert tables.events.num_rows == 4
