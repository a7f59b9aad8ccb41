"""One file that holds the attributes of customers and variants on its lines."""

from pathlib import Path
from typing import Any

import pandas as pd

from tests.data.sources.tables.conftest import read, reasons, source_of

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
    tables = read(tmp_path, content)
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
    assert reasons(tables) == [("flat.csv", 5, "column 'part': not one of train, validation, test")]


def test_aggregates_are_optional_in_new_events(tmp_path: Path) -> None:
    content = {**FLAT, "split": {"by": "column", "column": "part"}}
    new = FLAT_LINES.drop(columns=["past_rate", "part", "back"])
    tables = source_of(content, tmp_path).tables_from_frame(new)
    assert tables.customers["past_rate"].null_count == 3
    assert tables.events.num_rows == 4
