import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.dataset import ingest, open_dataset
from data.reporter import SilentReporter
from data.schema import Role, role_of
from data.sources.base import SourceTables
from data.sources.orders import Orders
from data.sources.tables import Tables
from data.validation import InputError

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "orders_mapping.yaml"
LINE = {
    "order_item_id": "1",
    "order_date": "2012-05-03",
    "delivery_date": "2012-05-05",
    "item_id": "7",
    "item_size": "XL",
    "item_color": "Dark Navy",
    "brand_id": "3",
    "item_price": "59.9",
    "user_id": "11",
    "user_title": "Mrs",
    "user_dob": "1970-03-01",
    "user_state": "Hesse",
    "user_reg_date": "2011-02-16",
    "return": "1",
}
RELEASE = os.environ.get("RETURNS_SHARED_DATA")


def synthetic_orders(number: int = 400, seed: int = 0) -> pd.DataFrame:
    """Synthetic order lines in the 14 columns, all as text."""
    rng = np.random.default_rng(seed)
    day = np.datetime64("2012-11-01") + rng.integers(0, 110, number)
    user = rng.integers(1, number // 4, number)
    item = rng.integers(1, 30, number)
    born = np.datetime64("1950-01-01") + (user * 7919) % 15000
    frame = pd.DataFrame(
        {
            "order_item_id": np.arange(number) + 1,
            "order_date": day,
            "delivery_date": np.where(rng.random(number) < 0.1, "?", (day + 3).astype(str)),
            "item_id": item,
            "item_size": rng.choice(["s", "M", "m", "XL", "unsized"], number),
            "item_color": rng.choice(["black", "brwon", " Red ", "?"], number),
            "brand_id": item % 7,
            "item_price": rng.lognormal(4, 0.4, number).round(2),
            "user_id": user,
            "user_title": np.where(user % 20 == 0, "Mr", "Mrs"),
            "user_dob": np.where(user % 9 == 0, "?", born.astype(str)),
            "user_state": np.array(["Hesse", "Bavaria", "Berlin"])[user % 3],
            "user_reg_date": "2011-02-16",
            "return": rng.integers(0, 2, number),
        }
    )
    return frame.astype(str)


def _read(folder: Path, *lines: Mapping[str, str]) -> SourceTables:
    """The tables of orders that hold the lines among enough others to be split."""
    others = [
        {**LINE, "order_item_id": month, "order_date": f"2012-{month}-01", "user_id": "99"}
        for month in ("10", "11", "12")
    ]
    frame = pd.DataFrame([{**LINE, **line} for line in lines] + others)
    frame.to_csv(folder / "orders.csv", index=False)
    return Orders(folder).read(SilentReporter())


def test_canonical_columns_types_and_roles(tmp_path: Path) -> None:
    tables = _read(tmp_path, {"item_color": "?"})
    assert [(field.name, field.type, role_of(field)) for field in tables.events.schema] == [
        ("row_id", pa.int64(), Role.ID),
        ("customer_key", pa.int64(), Role.ID),
        ("variant_key", pa.string(), Role.ID),
        ("returned", pa.int8(), Role.LABEL),
        ("split", pa.string(), Role.SPLIT),
        ("time", pa.date32(), Role.TIME),
        ("basket_key", pa.string(), Role.ID),
        ("item_price", pa.float64(), Role.ORDER),
        ("delivery_date", pa.date32(), Role.AFTER),
    ]
    assert [(field.name, field.type, role_of(field)) for field in tables.customers.schema] == [
        ("customer_key", pa.int64(), Role.ID),
        ("user_title", pa.string(), Role.PROFILE),
        ("user_date_of_birth", pa.date32(), Role.PROFILE),
        ("user_registration_date", pa.date32(), Role.PROFILE),
        ("user_state", pa.string(), Role.ATTRIBUTE),
    ]
    assert [(field.name, field.type, role_of(field)) for field in tables.variants.schema] == [
        ("variant_key", pa.string(), Role.ID),
        ("item", pa.int64(), Role.ATTRIBUTE),
        ("size", pa.string(), Role.ATTRIBUTE),
        ("colour", pa.string(), Role.ATTRIBUTE),
        ("brand", pa.int64(), Role.ATTRIBUTE),
    ]
    assert tables.events.schema.field("item_price").metadata[b"unit"] == b"EUR"
    assert tables.events.slice(0, 1).to_pylist() == [
        {
            "row_id": 1,
            "customer_key": 11,
            "variant_key": "7|xl|",
            "returned": 1,
            "split": "train",
            "time": date(2012, 5, 3),
            "basket_key": "11|2012-05-03",
            "item_price": 59.9,
            "delivery_date": date(2012, 5, 5),
        }
    ]
    assert tables.variants.slice(0, 1).to_pylist() == [
        {"variant_key": "7|xl|", "item": 7, "size": "xl", "colour": None, "brand": 3}
    ]


@pytest.mark.parametrize(
    ("born", "kept"),
    [
        ("1970-03-01", True), ("?", False), ("1900-11-19", False), ("1655-04-19", False),
        ("2012-06-01", False), ("2003-01-01", False), ("2002-01-01", True), ("1913-01-01", True),
    ],
)  # fmt: skip
def test_impossible_dates_of_birth_become_null_and_are_counted(
    tmp_path: Path, born: str, kept: bool
) -> None:
    tables = _read(tmp_path, {"user_dob": born})
    assert tables.customers["user_date_of_birth"][0].is_valid == kept
    counted = tables.counts.get("impossible_user_date_of_birth", 0)
    assert counted == (0 if kept or born == "?" else 1)
    assert tables.rejects.num_rows == 0


def test_placeholder_delivery_date_becomes_null_and_is_counted(tmp_path: Path) -> None:
    lines = [
        {"order_item_id": "1", "delivery_date": "1990-12-31"},
        {"order_item_id": "2", "delivery_date": "?"},
        {"order_item_id": "3", "delivery_date": "2012-05-02"},
    ]
    tables = _read(tmp_path, *lines)
    assert tables.events["delivery_date"][:3].null_count == 3
    assert tables.counts["placeholder_delivery_date"] == 1
    # The third, and the three lines that come later than their copied delivery date.
    assert tables.counts["impossible_delivery_date"] == 4


def test_a_profile_that_changes_stands_as_the_first_order_shows_it(tmp_path: Path) -> None:
    tables = _read(
        tmp_path,
        {"order_item_id": "1", "order_date": "2012-06-01", "user_state": "Berlin"},
        {"order_item_id": "2", "order_date": "2012-05-01", "user_state": "Bavaria"},
        {"order_item_id": "3", "order_date": "2012-05-01", "user_state": "Hesse"},
    )
    row = tables.customers.filter(pc.equal(tables.customers["customer_key"], 11)).to_pylist()
    assert [customer["user_state"] for customer in row] == ["Bavaria"]
    assert tables.counts["customers_with_differing_rows"] == 1


def test_the_example_mapping_gives_the_very_same_files(tmp_path: Path) -> None:
    synthetic_orders().to_csv(tmp_path / "orders.csv", index=False)
    reporter = SilentReporter()
    built_in = ingest(Orders(tmp_path), tmp_path / "datasets", reporter)
    mapped = ingest(Tables(EXAMPLE, tmp_path), tmp_path / "datasets", reporter)
    assert built_in != mapped
    for table in ("events", "customers", "variants", "rejects"):
        name = f"{table}.parquet"
        assert (built_in / name).read_bytes() == (mapped / name).read_bytes()
    dataset, manifest = open_dataset(built_in)
    assert dataset.events.num_rows == 400
    assert dataset.events["customer_row"].null_count == 0
    assert manifest.counts["validation_from"] == 20130101
    assert manifest.counts["test_from"] == 20130201


def test_given_days_split_and_are_part_of_the_identity(tmp_path: Path) -> None:
    synthetic_orders().to_csv(tmp_path / "orders.csv", index=False)
    source = Orders(tmp_path / "orders.csv", date(2013, 1, 20), date(2013, 1, 5))
    assert source.options == {"test_from": "2013-01-20", "validation_from": "2013-01-05"}
    events = source.read(SilentReporter()).events
    days = (date(2013, 1, 5), date(2013, 1, 20))
    names = ("train", "validation", "test")
    expected = [names[sum(time >= day for day in days)] for time in events["time"].to_pylist()]
    assert events["split"].to_pylist() == expected
    again = Orders.from_options(json.loads(json.dumps(source.options)), tmp_path)
    assert again.options == source.options
    assert again.read(SilentReporter()).events.equals(events)


def test_days_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not before"):
        Orders(tmp_path, date(2013, 1, 5), date(2013, 1, 20))
    with pytest.raises(InputError, match="test_from"):
        Orders.from_options({"test_from": "soon"})


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"orders\.csv: there is no such file"):
        Orders(tmp_path).files(SilentReporter())


def test_new_lines_are_read_alike_from_file_and_frame_without_label_or_delivery(
    tmp_path: Path,
) -> None:
    frame = synthetic_orders(50)
    reader = Orders.from_options({"test_from": None, "validation_from": None})
    frame.to_csv(tmp_path / "all.csv", index=False)
    shorn = frame.drop(columns=["return", "delivery_date"])
    shorn.to_csv(tmp_path / "shorn.csv", index=False)
    typed = shorn.astype({"order_item_id": int, "user_id": int, "item_price": float}).assign(
        order_date=pd.to_datetime(shorn["order_date"])
    )
    expected = reader.read_new_events(tmp_path / "all.csv")
    assert expected.events["returned"].null_count == 50
    assert set(expected.events["split"].to_pylist()) == {"test"}
    for tables in (
        reader.read_new_events(tmp_path / "shorn.csv"),
        reader.tables_from_frame(shorn),
        reader.tables_from_frame(frame),
        reader.tables_from_frame(typed),
        reader.tables_from_rows(pa.Table.from_pandas(shorn, preserve_index=False)),
        reader.tables_from_rows(pa.Table.from_pandas(typed, preserve_index=False)),
    ):
        assert tables.events.equals(expected.events)
        assert tables.customers.equals(expected.customers)
        assert tables.variants.equals(expected.variants)


def test_columns_of_new_lines_are_those_that_scoring_reads(tmp_path: Path) -> None:
    reader = Orders.from_options({})
    columns = {column.name: column for column in reader.new_event_columns()}
    assert set(synthetic_orders(50).columns) - set(columns) == {"return", "delivery_date"}
    required = {name for name, column in columns.items() if column.is_required}
    assert required == {"user_id", "item_id", "order_date"}
    assert [name for name, column in columns.items() if column.is_row_id] == ["order_item_id"]
    assert columns["item_price"].unit == "EUR"
    lines = synthetic_orders(50)
    nothing_else = lines.assign(**dict.fromkeys(set(columns) - required - {"order_item_id"}))
    rows = pa.Table.from_pandas(nothing_else, preserve_index=False)
    assert reader.tables_from_rows(rows).events.num_rows == 50
    for name in required:
        rows = pa.Table.from_pandas(lines.assign(**{name: None}), preserve_index=False)
        assert reader.tables_from_rows(rows).events.num_rows == 0


@pytest.mark.skipif(RELEASE is None, reason="RETURNS_SHARED_DATA names no folder of real data")
def test_real_orders_are_read_whole(tmp_path: Path) -> None:
    source = Orders(Path(str(RELEASE)) / "fashion_orders")
    dataset, manifest = open_dataset(ingest(source, tmp_path, SilentReporter()))
    counts = manifest.counts
    assert counts["events"] == 85_641
    assert counts["rejects"] == 0
    assert counts["customers"] == 32_887
    assert (counts["train_from"], counts["last_day"]) == (20120401, 20130228)
    # Published number of lines per month: January and February 2013.
    assert (counts["events_validation"], counts["events_test"]) == (11_853, 8_040)
    rate = counts["returned_validation"] / counts["events_validation"]
    assert rate == pytest.approx(0.511, abs=5e-4)
    undelivered = pc.is_null(dataset.events["delivery_date"])
    # 7,339 without a date and 801 with the stand-in.
    assert pc.sum(undelivered).as_py() == 7_339 + counts["placeholder_delivery_date"] == 8_140
    assert len(pc.unique(dataset.variants["item"])) == 2_614
    sizes = Counter(dataset.variants["size"].to_pylist())
    assert all(size == size.lower() for size in sizes)
    ages = pc.subtract(
        dataset.events["time"].cast(pa.int32()),
        dataset.customers["user_date_of_birth"]
        .take(dataset.events["customer_row"])
        .cast(pa.int32()),
    )
    assert pc.min(ages).as_py() >= timedelta(days=3652).days
    assert pc.max(ages).as_py() <= timedelta(days=36525).days
