import json
import string
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.sources.mapped.description import ColumnType
from data.sources.new_events import NewEventColumn
from pipelines.service.request import (
    LARGEST_NUMBER,
    LONGEST_TEXT,
    request_type,
    row_ids_of,
    rows_of,
)

COLUMNS = [
    NewEventColumn("hash(line)", ColumnType.INTEGER, True, is_row_id=True),
    NewEventColumn("model_config", ColumnType.CATEGORY, True, description="Customer"),
    NewEventColumn("_price paid", ColumnType.NUMBER, False, unit="EUR", description="Price"),
    NewEventColumn("day", ColumnType.DATE, True),
    NewEventColumn("class", ColumnType.FLAG, False, values=("yes", "no")),
    NewEventColumn("items", ColumnType.INTEGER, False),
]
REQUEST = request_type(COLUMNS, most_lines=4)
LINE = {"model_config": "anna", "day": "2013-01-05"}


def read(*lines: object, **others: object):
    return REQUEST.model_validate_json(json.dumps({"lines": lines, **others}))


def faults(line: dict) -> list[tuple]:
    with pytest.raises(ValidationError) as caught:
        read(line)
    return [fault["loc"] for fault in caught.value.errors()]


def test_columns_may_have_any_name_and_unknown_values_may_be_left_out():
    rows = rows_of(read(LINE), COLUMNS)
    assert rows.column_names == [column.name for column in COLUMNS]
    assert rows.to_pylist() == [
        {
            "hash(line)": 1,
            "model_config": "anna",
            "_price paid": None,
            "day": date(2013, 1, 5),
            "class": None,
            "items": None,
        }
    ]


@settings(max_examples=50)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "hash(line)": st.none() | st.integers(1 - 2**63, 2**63 - 1),
                "model_config": st.text(string.printable, max_size=20),
                "_price paid": st.none() | st.floats(-1e15, 1e15),
                "day": st.dates().map(str),
                "class": st.sampled_from(["yes", "no", None]),
                "items": st.none() | st.integers(1 - 2**63, 2**63 - 1),
            }
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_sent_is_what_the_source_reads(lines):
    request = read(*lines)
    rows = rows_of(request, COLUMNS).to_pylist()
    assert row_ids_of(request, COLUMNS) == [line["hash(line)"] for line in lines]
    for number, (row, line) in enumerate(zip(rows, lines, strict=True), start=1):
        expected = {**line, "hash(line)": number, "day": date.fromisoformat(line["day"])}
        assert row == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("_price paid", value) for value in ("12", True, [], {}, 1e16, -1e16)),
        *(("items", value) for value in (1.5, "1", 2**63, -(2**63), True)),
        *(("day", value) for value in ("5.1.2013", "2013-02-30", 15710, "", None)),
        *(("class", value) for value in ("maybe", True, 1, "YES ")),
        *(("model_config", value) for value in (1, None, "x" * (LONGEST_TEXT + 1))),
    ],
)
def test_a_fault_names_line_and_column(name, value):
    assert faults({**LINE, name: value})[0][:3] == ("lines", 0, name)


def test_missing_and_unknown_columns_are_named():
    assert faults({"model_config": "anna"}) == [("lines", 0, "day")]
    assert faults({**LINE, "dya": "2013-01-05"}) == [("lines", 0, "dya")]
    assert faults({**LINE, "column_2": 1.0}) == [("lines", 0, "column_2")]


def test_a_request_has_lines_but_not_too_many():
    for lines in ([], [LINE] * 5):
        with pytest.raises(ValidationError) as caught:
            read(*lines)
        assert caught.value.errors()[0]["loc"] == ("lines",)
    assert len(rows_of(read(*[LINE] * 4), COLUMNS)) == 4


@pytest.mark.parametrize("reasons", [-1, 21, "3", 1.5, None])
def test_reasons_are_a_small_number(reasons):
    with pytest.raises(ValidationError, match="reasons"):
        read(LINE, reasons=reasons)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_no_number_is_infinite_or_none(number):
    body = json.dumps({"lines": [{**LINE, "_price paid": 0}]}).replace(": 0}", f": {number}}}")
    with pytest.raises(ValidationError):
        REQUEST.model_validate_json(body)


def test_the_schema_describes_every_column_under_its_own_name():
    line = REQUEST.model_json_schema()["$defs"]["OrderLine"]
    assert list(line["properties"]) == [column.name for column in COLUMNS]
    assert line["required"] == ["model_config", "day"]
    assert line["properties"]["_price paid"]["description"] == "Price, in EUR"
    number = line["properties"]["_price paid"]["anyOf"][0]
    assert (number["minimum"], number["maximum"]) == (-LARGEST_NUMBER, LARGEST_NUMBER)
