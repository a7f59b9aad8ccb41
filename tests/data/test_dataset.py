import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.dataset import Manifest, ingest, open_dataset, read_true_probability
from data.reporter import SilentReporter
from data.sources.twin import Twin
from data.validation import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return ingest(Twin(0.002, 0, tmp_path / "twin"), tmp_path / "datasets", SilentReporter())


def test_ingesting_again_is_a_no_op(folder, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = ingest(Twin(0.002, 0, tmp_path / "twin"), tmp_path / "datasets", SilentReporter())
    assert again == folder
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    other = ingest(Twin(0.002, 1, tmp_path / "twin"), tmp_path / "datasets", SilentReporter())
    assert other != folder


def test_events_refer_to_the_rows_of_their_own_keys_and_period(folder):
    dataset, manifest = open_dataset(folder)
    events = dataset.events.to_pandas()
    assert events["event"].tolist() == list(range(len(events)))
    assert manifest.counts["events"] == len(events) == len(read_true_probability(folder))
    for kind, table in (("customer", dataset.customers), ("variant", dataset.variants)):
        with_row = events[events[f"{kind}_row"].notna()]
        rows = table.to_pandas().iloc[with_row[f"{kind}_row"].astype(int)]
        assert (rows[f"{kind}_key"].to_numpy() == with_row[f"{kind}_key"].to_numpy()).all()
        assert (rows[kind].to_numpy() == with_row[kind].to_numpy()).all()
        expected = with_row["split"].eq("test").map({True: "testing", False: "training"})
        assert (rows["period"].to_numpy() == expected.to_numpy()).all()


def test_a_return_rate_is_that_of_the_events_whose_outcome_is_known(folder):
    dataset, manifest = open_dataset(folder)
    events = dataset.events.to_pandas()
    for split, rows in events.groupby("split"):
        assert manifest.counts[f"labelled_{split}"] == rows["returned"].notna().sum() == len(rows)
        assert manifest.return_rate(split) == pytest.approx(rows["returned"].mean())
    counts = {"events_test": 10, "labelled_test": 4, "returned_test": 3, "labelled_train": 0}
    recent = Manifest("tables", {}, (), "", counts, (), ())
    assert recent.return_rate("test") == 0.75
    assert recent.return_rate("train") is None


def test_a_table_that_changed_or_is_gone_is_refused_by_name(folder):
    path = folder / "events.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (folder / "rejects.parquet").unlink()
    with pytest.raises(InputError) as raised:
        open_dataset(folder)
    assert "events.parquet" in str(raised.value)
    assert "rejects.parquet" in str(raised.value)


def test_another_schema_version_or_a_broken_manifest_is_refused(folder):
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "schema_version": 99}))
    with pytest.raises(InputError, match="99"):
        open_dataset(folder)
    path.write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json"):
        open_dataset(folder)
    path.unlink()
    with pytest.raises(InputError, match="no dataset directory"):
        open_dataset(folder)


def test_roles_survive_in_parquet(folder):
    for name in ("events", "customers", "variants"):
        schema = pq.read_schema(folder / f"{name}.parquet")
        assert all(b"role" in field.metadata for field in schema)
