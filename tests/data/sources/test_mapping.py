import json
import re
from copy import deepcopy
from datetime import date
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from data.schema import Role
from data.sources.mapped.description import (
    Case,
    ColumnType,
    FileFormat,
    Limits,
    Owner,
    SplitBy,
    SplitMapping,
)
from data.sources.mapping import load_mapping, parse_mapping
from data.sources.orders import orders_mapping
from data.validation import InputError

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"

MINIMAL: dict[str, Any] = {
    "events": {"file": "lines.csv", "customer": "who", "variant": "sku", "returned": "back"}
}
WHOLE: dict[str, Any] = {
    "events": {
        "file": "lines.csv.gz",
        "delimiter": ";",
        "decimal": ",",
        "nulls": ["-", "n/a"],
        "date_format": "%d.%m.%Y",
        "unmentioned": "ignore",
        "row_id": "line",
        "customer": "who",
        "variant": ["sku", "size"],
        "returned": "back",
        "time": "day",
        "basket": ["who", "day"],
        "columns": {
            "back": {"type": "flag", "values": {"Yes": 1, "No": 0}},
            "size": {"type": "category", "case": "lower"},
            "paid": {"role": "order", "type": "number", "unit": "EUR", "minimum": 0},
            "voucher": {"role": "attribute", "of": "order", "type": "category"},
            "left": {"role": "after", "type": "date", "years_before_order": {"maximum": 0}},
            "comment": "ignore",
            "agent": {"role": "ignore"},
        },
    },
    "customers": {
        "file": "people.parquet",
        "customer": "id",
        "columns": {"born": {"role": "profile", "type": "date", "minimum": date(1900, 1, 1)}},
    },
    "variants": {
        "file": "goods.csv",
        "variant": ["sku", "size"],
        "columns": {"weight": {"role": "catalogue", "type": "number", "unit": "g"}},
    },
    "split": {"validation_from": "2013-01-01", "test_from": date(2013, 2, 1)},
}


def _faults(content: object) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_mapping(content, "mine.yaml")
    assert all(fault.file == "mine.yaml" for fault in caught.value.faults)
    return [f"{fault.message} {fault.remedy}" for fault in caught.value.faults]


def test_defaults_of_a_minimal_mapping() -> None:
    mapping = parse_mapping(MINIMAL, "mine.yaml")
    events = mapping.events
    assert (events.format, events.delimiter, events.decimal) == (FileFormat.CSV, ",", ".")
    assert not events.ignore_unmentioned
    assert {column.source: column.type for column in events.columns} == {
        "who": ColumnType.CATEGORY,
        "sku": ColumnType.CATEGORY,
        "back": ColumnType.FLAG,
    }
    assert mapping.split == SplitMapping(SplitBy.CUSTOMER, validation_share=0.1, test_share=0.2)


def test_a_time_column_is_a_date_and_splits_by_time() -> None:
    content = deepcopy(MINIMAL)
    content["events"]["time"] = "day"
    mapping = parse_mapping(content, "mine.yaml")
    assert mapping.events.column("day").type is ColumnType.DATE
    assert mapping.events.column("day").limits == Limits(date(1970, 1, 1), date(2100, 12, 31))
    assert mapping.split == SplitMapping(SplitBy.TIME)


def test_every_entry_arrives_where_it_belongs() -> None:
    mapping = parse_mapping(WHOLE, "mine.yaml")
    events = mapping.events
    assert events.basket == ("who", "day")
    assert events.ignored == ("comment", "agent")
    assert events.nulls == ("-", "n/a")
    assert events.column("size").case is Case.LOWER
    assert events.column("back").values == {"yes": 1, "no": 0}
    assert events.column("left").date_format == "%d.%m.%Y"
    assert events.column("left").years_before_order == Limits(None, 0.0)
    assert events.column("paid").limits == Limits(0.0, None)
    assert [column.source for column in events.columns_of(Owner.ORDER)] == [
        "paid",
        "voucher",
        "left",
    ]
    assert mapping.customers is not None
    born = mapping.customers.column("born")
    assert (born.role, born.owner) == (Role.PROFILE, Owner.CUSTOMER)
    assert born.limits.minimum == date(1900, 1, 1)
    assert mapping.variants is not None
    assert mapping.variants.format is FileFormat.CSV
    assert mapping.split.validation_from == date(2013, 1, 1)


@pytest.mark.parametrize("content", [MINIMAL, WHOLE, orders_mapping().as_json()])
def test_a_mapping_survives_json(content: dict[str, Any]) -> None:
    mapping = parse_mapping(content, "mine.yaml")
    again = parse_mapping(json.loads(json.dumps(mapping.as_json())), "model")
    assert again == mapping
    assert again.as_json() == mapping.as_json()


def test_the_example_says_what_the_built_in_source_says() -> None:
    assert load_mapping(EXAMPLES / "orders_mapping.yaml") == orders_mapping()


def _guide_blocks() -> list[Any]:
    text = (EXAMPLES.parent / "own_tables.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^( *)```yaml\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [yaml.safe_load(dedent(block)) for _, block in blocks if "\nsplit" not in block]


def test_the_mapping_of_the_guide_is_valid() -> None:
    (content,) = _guide_blocks()
    mapping = parse_mapping(content, "own_tables.md")
    assert mapping.events.variant == ("article", "size", "colour")
    assert mapping.split == SplitMapping(SplitBy.TIME)


def test_the_guide_names_every_key() -> None:
    text = (EXAMPLES.parent / "own_tables.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    content = parse_mapping(WHOLE, "mine.yaml").as_json()
    keys = set(content["events"]) | {key for each in content["events"]["columns"].values()
                                     if isinstance(each, dict) for key in each}  # fmt: skip
    assert keys <= named


def _changed(path: str, value: object) -> dict[str, Any]:
    content = deepcopy(WHOLE)
    *parents, last = path.split("/")
    entry = content
    for parent in parents:
        entry = entry[parent]
    if value is None:
        del entry[last]
    else:
        entry[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("events/file", None, "events: 'file' is missing"),
        ("events/customer", None, "events: 'customer' is missing"),
        ("events/returned", ["a", "b"], "'returned' names several columns"),
        ("events/file", "lines.xlsx", "the format of 'lines.xlsx' is not known"),
        ("events/delimiter", "tab", "delimiter 'tab' is not one character"),
        ("events/date_format", "DD.MM.YYYY", "date_format 'DD.MM.YYYY' cannot be read"),
        ("events/date_format", "%d.%m.%Y %Z", "cannot be read"),
        ("events/unmentioned", "skip", "Allowed: error, ignore"),
        ("events/colums", {}, "unknown key 'colums' Allowed: file, row_id, customer, variant"),
        ("events/nulls", [True], "True cannot stand here Wanted: text; put quotes around it"),
        ("events/nulls", ["-", "-"], "a value stands there twice"),
        ("events/basket", ["who", "comment"], "'comment' is ignored and used as 'basket'"),
        ("events/columns", ["paid"], "this is no list of `key: value` lines"),
        ("events/columns/paid", 3, "events.columns.paid: this is no list"),
        ("events/columns/paid/role", "ordr", "Wanted: one of: profile, catalogue, order, after"),
        ("events/columns/paid/role", None, "events.columns.paid: 'role' is missing"),
        ("events/columns/paid/type", None, "events.columns.paid: 'type' is missing"),
        ("events/columns/paid/type", "text", "Wanted: one of: number, integer, date, category"),
        ("events/columns/paid/case", "lower", "unknown key 'case'"),
        ("events/columns/paid/minimum", "low", "'low' cannot stand here Wanted: a number"),
        ("events/columns/paid/maximum", -1, "the minimum 0.0 is above the maximum -1.0"),
        ("events/columns/paid/name", "basket", "the name 'basket' is used by the tables"),
        ("events/columns/paid/name", "weight", "several columns are called 'weight'"),
        ("events/columns/paid/of", "customer", "role 'order' here is of the order"),
        ("events/columns/voucher/of", None, "role 'attribute' needs 'of'"),
        ("events/columns/voucher/type", "number", "type 'number' cannot serve with role"),
        ("events/columns/voucher/role", "aggregate", "an order has no aggregate"),
        ("events/columns/voucher/of", "customer", "customers have a file of their own"),
        ("events/columns/back/type", "number", "type 'number' cannot serve as 'returned'"),
        ("events/columns/back/role", "order", "is the 'returned' and has a role too"),
        ("events/columns/back/values", {True: 1, False: 0}, "YAML reads a bare yes or no"),
        ("events/columns/back/values", {"yes": 2}, "the 0 or 1 that each means"),
        ("events/columns/day", {"type": "category"}, "type 'category' cannot serve as 'time'"),
        ("events/columns/left/years_before_order", {"max": 0}, "unknown key 'max'"),
        ("events/time", None, "'years_before_order' cannot be used here"),
        ("customers/columns/born/role", "order", "Wanted: one of: profile, attribute, aggregate"),
        ("customers/columns/born/minimum", "1900", "Wanted: a date such as 2013-02-01"),
        ("customers/returned", "back", "customers: unknown key 'returned'"),
        ("customers/columns/id", {"type": "integer"}, "key columns of type integer, in events"),
        ("variants/variant", "sku", "Give both keys as many columns of the same types"),
        ("split/validation_from", "2013-02-01", "2013-02-01 is not before test_from 2013-02-01"),
        ("split/test_share", 0.2, "split: unknown key 'test_share' Allowed: by, validation_from"),
        ("split", {"by": "customer", "test_share": 0.95}, "shares 0.1 and 0.95 cannot be"),
        ("split", {"by": "customer", "test_share": 0}, "shares 0.1 and 0.0 cannot be"),
        ("split", {"by": "column"}, "split: 'column' is missing"),
        ("split", {"by": "column", "column": "paid"}, "the column has another use"),
        ("splits", {}, "the mapping: unknown key 'splits' Allowed: events, customers"),
    ],
)
def test_every_kind_of_mistake_is_named_with_what_is_allowed(
    path: str, value: object, expected: str
) -> None:
    assert any(expected in fault for fault in _faults(_changed(path, value)))


def test_undated_events_cannot_be_split_by_time() -> None:
    faults = _faults({**MINIMAL, "split": {"by": "time"}})
    assert faults == ["split: the events have no `time` to split by Use `by: customer` or `column`"]


def test_all_mistakes_are_reported_together() -> None:
    content = _changed("events/columns/paid/role", "ordr")
    content["events"]["delimiter"] = "tab"
    content["customers"]["fil"] = "x"
    content["variants"]["columns"]["weight"]["type"] = "weight"
    content["split"]["by"] = "luck"
    faults = _faults(content)
    for place in ("events.columns.paid.role", "delimiter", "'fil'", "weight.type", "split.by"):
        assert any(place in fault for fault in faults), place


@pytest.mark.parametrize("content", [None, [], "events", {}, {"events": None}, {1: 2}])
def test_what_is_no_mapping_at_all_is_a_fault(content: object) -> None:
    assert _faults(content)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"events: [", "this is no valid YAML"),
        (b"events: {file: 2013-02-31}", "this is no valid YAML"),
        (b"events: !!python/object/apply:os.getcwd []", "this is no valid YAML"),
        ("events: {file: Umsätze.csv}".encode("latin-1"), "the text is not UTF-8"),
        (b"", "this is no list of `key: value` lines"),
    ],
)
def test_unreadable_files(tmp_path: Path, text: bytes, expected: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text)
    with pytest.raises(InputError, match=expected):
        load_mapping(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read"):
        load_mapping(tmp_path / "none.yaml")


def test_a_repeated_key_is_reported_with_its_line_beside_other_faults(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "events:\n  file: lines.csv\n  customer: who\n  variant: sku\n  returned: back\n"
        "  columns:\n    paid: {role: order, type: number}\n    paid: {role: after, type: date}\n"
    )
    with pytest.raises(InputError) as caught:
        load_mapping(path)
    assert [fault.message for fault in caught.value.faults] == ["line 8: 'paid' stands there twice"]
    path.write_text(path.read_text() + "split: {by: luck}\n")
    with pytest.raises(InputError, match=r"(?s)line 8.*split\.by"):
        load_mapping(path)
