"""Sound files of every form become the three tables."""

import json
from copy import deepcopy
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from data.dataset import ingest, open_dataset
from data.reporter import SilentReporter
from data.schema import Role, role_of
from data.sources.mapping import parse_mapping
from data.sources.tables import Tables
from data.validation import InputError
from tests.data.sources.tables.conftest import LINES, MAPPING, read, source_of


def test_three_files_become_three_tables(folder: Path) -> None:
    tables = read(folder)
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
        ingest(source_of(MAPPING, folder), folder / "datasets", SilentReporter())
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
    assert Tables(path).read(SilentReporter()).events.equals(read(folder).events)
    source = Tables.from_file(path, test_from=date(2013, 3, 5))
    tables = source.read(SilentReporter())
    parts = ["train", "train", "validation", "validation", "test"]
    assert tables.events["split"].to_pylist() == parts
    assert tables.counts["test_from"] == 20130305
    path.write_text(json.dumps({**MAPPING, "split": {"by": "customer"}}))
    with pytest.raises(InputError, match="unknown key 'test_from'"):
        Tables.from_file(path, test_from=date(2013, 3, 5))


def test_source_is_rebuilt_from_json_options(folder: Path) -> None:
    source = source_of(MAPPING, folder)
    options = json.loads(json.dumps(source.options))
    again = Tables.from_options(options, folder)
    assert again.options == source.options
    assert again.read(SilentReporter()).events.equals(source.read(SilentReporter()).events)
    with pytest.raises(InputError, match="options of the source 'tables'"):
        Tables.from_options({"mapping": {"events": {}}})


@pytest.mark.parametrize("form", ["gzip", "semicolon", "parquet text", "parquet typed", "order"])
def test_the_same_rows_in_another_form_give_the_same_tables(folder: Path, form: str) -> None:
    expected = read(folder)
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
    tables = read(folder, {**MAPPING, "events": entry})
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
    tables = read(folder, content)
    assert tables.events["row_id"].to_pylist() == [1, 3, 4, 5]
    assert tables.rejects["row"].to_pylist() == [2]


def test_quoted_fields_may_hold_line_breaks_and_delimiters(folder: Path) -> None:
    LINES.assign(voucher='for "you",\nand me').to_csv(folder / "lines.csv", index=False)
    assert read(folder).events["voucher"][0].as_py() == 'for "you",\nand me'
