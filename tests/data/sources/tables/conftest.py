"""A retailer's three small synthetic files and their mapping."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data.reporter import SilentReporter
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


def changed(path: str, value: object) -> dict[str, Any]:
    content = deepcopy(MAPPING)
    *parents, last = path.split("/")
    entry = content
    for parent in parents:
        entry = entry[parent]
    entry[last] = value
    return content


def source_of(content: dict[str, Any], folder: Path) -> Tables:
    return Tables(parse_mapping(content, "mine.yaml"), folder)


def read(folder: Path, content: dict[str, Any] = MAPPING) -> SourceTables:
    return source_of(content, folder).read(SilentReporter())


def faults(folder: Path, content: dict[str, Any] = MAPPING) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(folder, content)
    return [str(fault) for fault in caught.value.faults]


def reasons(tables: SourceTables) -> list[tuple[str, int, str]]:
    rejects = tables.rejects.select(["file", "row", "reason"]).to_pylist()
    return [(each["file"], each["row"], each["reason"]) for each in rejects]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    LINES.to_csv(tmp_path / "lines.csv", index=False)
    PEOPLE.replace("-", "").to_csv(tmp_path / "people.csv", index=False)
    GOODS.to_csv(tmp_path / "goods.csv", index=False)
    return tmp_path
