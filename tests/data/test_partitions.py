import os
import time

import pandas as pd
import pytest

from data.partitions import PartitionStore, find_partitions
from data.reporter import SilentReporter
from data.sources.orders import orders_mapping
from data.sources.tables import Tables
from data.validation import InputError


def frame(first: int, days: list[str]) -> pd.DataFrame:
    number = len(days)
    return pd.DataFrame(
        {
            "order_item_id": range(first, first + number),
            "order_date": days,
            "delivery_date": "?",
            "item_id": range(1, number + 1),
            "item_size": "m",
            "item_color": "red",
            "brand_id": 3,
            "item_price": 9.9,
            "user_id": range(1, number + 1),
            "user_title": "Mrs",
            "user_dob": "?",
            "user_state": "Hesse",
            "user_reg_date": "2011-02-16",
            "return": [place % 2 for place in range(number)],
        }
    )


class CountingStore:
    """A store that counts which files it has read."""

    def __init__(self, folder) -> None:
        self.tables = Tables(orders_mapping())
        self.read: list[str] = []
        self.store = PartitionStore(folder / "kept", self._read)

    def _read(self, path):
        self.read.append(path.name)
        return self.tables.read_order_lines(path)

    def take_in(self, *paths):
        return self.store.take_in(list(paths), SilentReporter())


@pytest.fixture
def counting(tmp_path):
    return CountingStore(tmp_path)


@pytest.fixture
def weeks(tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    frame(1, ["2012-04-02", "2012-04-03"]).to_csv(folder / "1.csv", index=False)
    frame(3, ["2012-04-09", "2012-04-11", "2012-04-10"]).to_parquet(folder / "2.parquet")
    return folder


def test_csv_and_parquet_partitions_are_read_once(counting, weeks):
    first = counting.take_in(weeks / "1.csv", weeks / "2.parquet")
    assert counting.read == ["1.csv", "2.parquet"]
    assert [each.num_rows for each in first] == [2, 3]
    assert str(first[1].first_day) == "2012-04-09" and str(first[1].last_day) == "2012-04-11"
    again = counting.take_in(weeks / "1.csv", weeks / "2.parquet")
    assert counting.read == ["1.csv", "2.parquet"]
    assert again[1].rows().equals(first[1].rows())


def test_kept_rows_are_those_of_the_file(counting, weeks):
    (partition,) = counting.take_in(weeks / "1.csv")
    read = counting.tables.read_order_lines(weeks / "1.csv")
    assert partition.rows().replace_schema_metadata().equals(read.table)
    assert partition.rows().schema.field("item_price").metadata[b"role"] == b"order"


def test_only_what_is_new_is_read(counting, weeks):
    counting.take_in(weeks / "1.csv")
    frame(9, ["2012-04-16"]).to_csv(weeks / "3.csv", index=False)
    counting.take_in(weeks / "1.csv", weeks / "3.csv")
    assert counting.read == ["1.csv", "3.csv"]


def test_a_renamed_file_is_known_and_a_copy_counts_once(counting, weeks):
    counting.take_in(weeks / "1.csv")
    (weeks / "1.csv").rename(weeks / "first.csv")
    (weeks / "copy.csv").write_bytes((weeks / "first.csv").read_bytes())
    partitions = counting.take_in(weeks / "copy.csv", weeks / "first.csv")
    assert counting.read == ["1.csv"]
    assert [each.name for each in partitions] == ["copy.csv"]


@pytest.mark.parametrize("settled", [True, False])
def test_a_rewritten_file_is_read_again(counting, weeks, settled):
    path = weeks / "1.csv"
    text = path.read_text()
    if settled:
        hour_ago = time.time() - 3600
        os.utime(path, (hour_ago, hour_ago))
    (before,) = counting.take_in(path)
    path.write_text(text.replace("9.9", "8.8"))
    (after,) = counting.take_in(path)
    assert counting.read == ["1.csv", "1.csv"]
    assert before.sha256 != after.sha256
    assert after.rows()["item_price"].to_pylist() == [8.8, 8.8]


def test_the_stamp_of_a_settled_file_saves_digesting_it(counting, weeks, monkeypatch):
    hour_ago = time.time() - 3600
    os.utime(weeks / "1.csv", (hour_ago, hour_ago))
    counting.take_in(weeks / "1.csv")

    def digested(path):
        raise AssertionError(path)

    monkeypatch.setattr("data.partitions.digest_file", digested)
    counting.take_in(weeks / "1.csv")
    assert counting.read == ["1.csv"]


def test_faults_of_all_files_are_told_and_good_files_are_kept(counting, weeks):
    whole = (weeks / "2.parquet").read_bytes()
    (weeks / "2.parquet").write_bytes(whole[: len(whole) // 2])
    frame(5, ["2012-04-16"]).drop(columns="user_id").to_csv(weeks / "3.csv", index=False)
    with pytest.raises(InputError) as raised:
        counting.take_in(*(weeks / name for name in ("1.csv", "2.parquet", "3.csv", "4.csv")))
    assert {fault.file.rsplit("/")[-1] for fault in raised.value.faults} == {
        "2.parquet",
        "3.csv",
        "4.csv",
    }
    assert "user_id" in str(raised.value)
    (weeks / "2.parquet").write_bytes(whole)
    counting.take_in(weeks / "1.csv", weeks / "2.parquet")
    assert counting.read == ["1.csv", "2.parquet", "3.csv", "2.parquet"]


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path, weeks):
    tables = Tables(orders_mapping())

    def read(path):
        rows = tables.read_order_lines(path)
        frame(1, ["2012-04-02", "2012-04-03", "2012-04-04"]).to_csv(path, index=False)
        return rows

    store = PartitionStore(tmp_path / "kept", read)
    with pytest.raises(InputError, match="changed while it was read"):
        store.take_in([weeks / "1.csv"], SilentReporter())
    again = CountingStore(tmp_path)
    (partition,) = again.take_in(weeks / "1.csv")
    assert again.read == ["1.csv"] and partition.num_rows == 3


def test_a_damaged_index_costs_nothing_but_digests(counting, weeks):
    counting.take_in(weeks / "1.csv")
    (weeks.parent / "kept" / "index.json").write_text("{")
    counting.take_in(weeks / "1.csv")
    assert counting.read == ["1.csv"]


def test_rows_set_aside_are_kept_and_open_orders_are_not_among_them(counting, weeks):
    lines = frame(1, ["2012-04-02", "2012-04-03", "no day"])
    lines["return"] = ["?", "1", "0"]
    lines.to_csv(weeks / "1.csv", index=False)
    (partition,) = counting.take_in(weeks / "1.csv")
    assert (partition.num_rows, partition.num_rejected) == (2, 1)
    assert partition.rows()["returned"].to_pylist() == [None, 1]
    assert "order_date" in partition.rejects()["reason"][0].as_py()


def test_a_path_names_a_file_a_folder_or_a_pattern(weeks, monkeypatch):
    inner = weeks / "inner"
    inner.mkdir()
    for name in ("_unfinished.csv", ".hidden.csv", "notes.txt", "inner/0.csv.gz"):
        (weeks / name).touch()
    csv, parquet = weeks / "1.csv", weeks / "2.parquet"
    assert find_partitions(str(csv)) == [csv]
    assert find_partitions(str(weeks)) == [csv, parquet, inner / "0.csv.gz"]
    assert find_partitions(f"{weeks}/*.parquet") == [parquet]
    assert find_partitions(f"{weeks}/**/*.csv*") == [csv, inner / "0.csv.gz"]
    monkeypatch.chdir(weeks)
    assert [path.name for path in find_partitions("*.csv")] == ["1.csv"]


@pytest.mark.parametrize("path", ["absent.csv", "*.parquet", "."])
def test_no_file_at_all_is_a_fault(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no file of order lines"):
        find_partitions(path)
