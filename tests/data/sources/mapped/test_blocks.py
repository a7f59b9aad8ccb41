"""A file read in blocks is the file read at once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.sources.base import SourceTables
from data.sources.mapped import csv_text, text
from data.sources.mapped.description import FileFormat
from data.sources.orders import orders_mapping
from data.sources.tables import Tables
from data.validation import InputError

NUMBER = 400


@pytest.fixture(scope="module")
def lines() -> pd.DataFrame:
    """Order lines as text: keys that repeat, values that cannot be read, nulls of every kind."""
    rng = np.random.default_rng(7)

    def some(values: list[str]) -> np.ndarray:
        return rng.choice(values, NUMBER)

    row_id = np.arange(NUMBER)
    row_id[rng.random(NUMBER) < 0.1] = 3
    row_id[-20:] = row_id[:20]
    return pd.DataFrame(
        {
            "order_item_id": row_id.astype(str),
            "order_date": some(["2013-01-05", "2013-01-06", "2013-01-07", "soon", "?"]),
            "item_id": some(["12", "13", "14", "7|8"]),
            "item_size": some(["xl", "XL", "?", "l|x", "40+"]),
            "item_color": some(["red", "Blue", "?"]),
            "brand_id": some(["1", "2", "?"]),
            "item_price": some(["19.9", "29.95", "?", "cheap"]),
            "user_id": some(["100", "101", "102", "103"]),
            "user_title": some(["Mrs", "Mr"]),
            "user_dob": some(["1970-01-01", "1850-01-01", "?"]),
            "user_state": some(["Berlin", "Saxony", "?"]),
            "user_reg_date": some(["2012-01-01", "2014-01-01"]),
        }
    )


def written(lines: pd.DataFrame, path: Path) -> Tables:
    """The source of a file with the lines, some of its rows ragged if it is CSV."""
    mapping = orders_mapping()
    if path.suffix == ".parquet":
        lines.to_parquet(path)
        return Tables(replace(mapping, events=replace(mapping.events, format=FileFormat.PARQUET)))
    rows = lines.to_csv(index=False).splitlines()
    for number in (1, 2, 90, 250, len(rows) - 1):
        rows[number] += ",surplus"
    path.write_text("\n".join(rows) + "\n")
    return Tables(mapping)


def set_blocks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(csv_text, "BLOCK_BYTES", size)
    monkeypatch.setattr(text, "BLOCK_ROWS", size // 100)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("size", [200, 1500])
def test_blocks_change_nothing(lines, tmp_path, monkeypatch, suffix, size):
    path = tmp_path / f"orders{suffix}"
    source = written(lines, path)
    whole = source.read_new_events(path)
    set_blocks(monkeypatch, size)
    found = source.read_new_events(path)
    for name in ("events", "customers", "variants", "rejects"):
        assert getattr(found, name).equals(getattr(whole, name)), name
    assert found.counts == whole.counts
    require_faults(whole, suffix)


def require_faults(whole: SourceTables, suffix: str) -> None:
    """The test can fail: rows were set aside for each reason."""
    reasons = " ".join(whole.rejects["reason"].to_pylist())
    expected = ["an earlier row has the same row key", "not a number", "not a date"]
    for reason in [*expected, *(["fields"] if suffix == ".csv" else [])]:
        assert reason in reasons
    assert whole.events.num_rows > 50


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_column_is_illegible_only_if_no_block_can_be_read(lines, tmp_path, monkeypatch, suffix):
    set_blocks(monkeypatch, 1500)
    prices = np.full(NUMBER, "cheap", dtype=object)
    path = tmp_path / f"orders{suffix}"
    lines = lines.assign(item_price=prices, order_item_id=np.arange(NUMBER).astype(str))
    source = written(lines, path)
    with pytest.raises(InputError, match=r"item_price.*not one of its values is a number"):
        source.read_new_events(path)
    prices[-5] = "3.5"
    lines.assign(item_price=prices, order_date="2013-01-05").pipe(written, path)
    assert source.read_new_events(path).events.num_rows == 1


def test_a_quote_left_open_is_found_when_the_file_is_through(lines, tmp_path, monkeypatch):
    path = tmp_path / "orders.csv"
    rows = lines.to_csv(index=False).splitlines()
    head, _, last = rows[300].rpartition(",")
    rows[300] = f'{head},"{last}'
    path.write_text("\n".join(rows) + "\n")
    for size in (None, 1 << 17):
        if size is not None:
            set_blocks(monkeypatch, size)
        with pytest.raises(InputError, match="the row that begins in line 301 has a quote"):
            Tables(orders_mapping()).read_new_events(path)
