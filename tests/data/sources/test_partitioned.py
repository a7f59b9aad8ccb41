import os
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.dataset import ingest, open_dataset
from data.partitions import PartitionStore
from data.reporter import SilentReporter
from data.sources.orders import Orders, orders_mapping
from data.sources.partitioned import Partitioned, Window
from data.sources.tables import Tables
from data.validation import InputError

WINDOW = Window(date(2012, 5, 1), date(2012, 5, 15), date(2012, 6, 10))


def lines(number: int = 400) -> pd.DataFrame:
    """Synthetic order lines of 2012-04-01 to 2012-06-19, in order of time."""
    rng = np.random.default_rng(0)
    day = np.datetime64("2012-04-01") + np.sort(rng.integers(0, 80, number))
    return pd.DataFrame(
        {
            "order_item_id": np.arange(1, number + 1),
            "order_date": day.astype(str),
            "delivery_date": "?",
            "item_id": rng.integers(1, 30, number),
            "item_size": rng.choice(["s", "m"], number),
            "item_color": "red",
            "brand_id": 3,
            "item_price": rng.lognormal(3, 0.3, number).round(2),
            "user_id": rng.integers(1, 60, number),
            "user_title": "Mrs",
            "user_dob": "?",
            "user_state": "Hesse",
            "user_reg_date": "2011-02-16",
            "return": rng.integers(0, 2, number),
        }
    )


def partitioned(folder: Path, frames: dict[str, pd.DataFrame], window=WINDOW) -> Partitioned:
    folder.mkdir(exist_ok=True)
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    tables = Tables(orders_mapping())
    store = PartitionStore(folder / "kept", tables.read_order_lines)
    paths = [folder / f"{name}.csv" for name in frames]
    return Partitioned("orders", tables, store.take_in(paths, SilentReporter()), window)


def test_the_window_counts_back_from_the_first_day_that_is_still_open():
    window = Window.before(date(2013, 3, 1), 14, 28, 21)
    assert window.labelled_until == date(2013, 2, 15)
    assert window.test_from == date(2013, 1, 25)
    assert window.validation_from == date(2012, 12, 28)
    assert Window.from_json(window.as_json()) == window


def test_partitions_are_read_as_the_whole_file_is(tmp_path):
    frame = lines()
    window = Window(date(2012, 5, 1), date(2012, 5, 15), date(2013, 1, 1))
    parts = {"a": frame[:100], "b": frame[100:250], "c": frame[250:]}
    found = partitioned(tmp_path / "parts", parts, window).read(SilentReporter())
    frame.to_csv(tmp_path / "whole.csv", index=False)
    whole = Orders(tmp_path / "whole.csv", window.test_from, window.validation_from)
    expected = whole.read(SilentReporter())
    for name in ("events", "customers", "variants"):
        assert getattr(found, name).equals(getattr(expected, name)), name
    assert expected.counts.items() <= found.counts.items()


def test_orders_that_may_still_be_returned_have_no_label(tmp_path):
    events = partitioned(tmp_path, {"a": lines()}).read(SilentReporter()).events.to_pandas()
    is_open = events["time"] >= date(2012, 6, 10)
    assert is_open.any()
    assert events.loc[is_open, "returned"].isna().all()
    assert events.loc[~is_open, "returned"].notna().all()
    assert set(events.loc[is_open, "split"]) == {"test"}


def test_a_later_file_corrects_an_earlier_one(tmp_path):
    first = lines()
    second = first[50:60].copy()
    second["return"] = 1 - second["return"]
    tables = partitioned(tmp_path, {"a": first, "b": second}).read(SilentReporter())
    assert tables.events.num_rows == len(first)
    assert tables.counts["rows_corrected_by_later_files"] == 10
    label = tables.events.to_pandas().set_index("row_id")["returned"]
    assert (label[second["order_item_id"]].to_numpy() == second["return"].to_numpy()).all()


def test_an_unlabelled_order_gets_its_label_from_a_later_file(tmp_path):
    first = lines().astype({"return": object})
    first.loc[10, "return"] = "?"
    known = first[10:11].assign(**{"return": 1})
    before = partitioned(tmp_path / "1", {"a": first}).read(SilentReporter())
    after = partitioned(tmp_path / "2", {"a": first, "b": known}).read(SilentReporter())
    key = int(first.loc[10, "order_item_id"])
    labels = [
        tables.events.to_pandas().set_index("row_id")["returned"][key] for tables in (before, after)
    ]
    assert np.isnan(labels[0]) and labels[1] == 1


def test_it_becomes_a_dataset_whose_digest_depends_on_files_and_window(tmp_path):
    frame = lines()
    folders = [
        ingest(source, tmp_path / "datasets", SilentReporter())
        for source in (
            partitioned(tmp_path / "1", {"a": frame}),
            partitioned(tmp_path / "2", {"a": frame}),
            partitioned(tmp_path / "3", {"a": frame[:-1]}),
            partitioned(
                tmp_path / "4",
                {"a": frame},
                Window(WINDOW.validation_from, WINDOW.test_from, date(2012, 6, 1)),
            ),
        )
    ]
    assert folders[0] == folders[1]
    assert len(set(folders)) == 3
    dataset, manifest = open_dataset(folders[0])
    assert manifest.counts["events"] == dataset.events.num_rows == len(frame)
    assert manifest.counts["test_from"] == 20120515
    assert dataset.is_dated


def test_a_part_without_orders_is_a_fault(tmp_path):
    early = Window(date(2012, 1, 1), date(2012, 5, 15), date(2012, 6, 10))
    with pytest.raises(InputError, match="no order line would be train"):
        partitioned(tmp_path, {"a": lines()}, early).read(SilentReporter())


def test_real_orders_in_weekly_files_are_the_whole(tmp_path):
    if "RETURNS_SHARED_DATA" not in os.environ:
        pytest.skip("RETURNS_SHARED_DATA, the folder of real data, is not set")
    path = Path(os.environ["RETURNS_SHARED_DATA"]) / "fashion_orders" / "orders.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    week = pd.to_datetime(frame["order_date"]).dt.strftime("%G-%V")
    weeks = {str(name): part for name, part in frame.groupby(week)}
    window = Window(date(2013, 1, 1), date(2013, 2, 1), date(2013, 3, 1))
    found = partitioned(tmp_path, weeks, window).read(SilentReporter())
    expected = Orders(path).read(SilentReporter())
    assert found.events.num_rows == expected.events.num_rows
    assert found.rejects.num_rows == expected.rejects.num_rows
    assert found.events.sort_by("row_id").equals(expected.events.sort_by("row_id"))
