import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.dataset import Manifest, ingest, open_dataset
from data.osf import OsfProject, Patience
from data.reporter import SilentReporter
from data.schema import Role, column, columns_with_role, role_of
from data.sources.base import SourceTables
from data.sources.graphreturns import (
    GraphReturns,
    new_event_columns,
    tables_from_frame,
    tables_from_rows,
)
from data.sources.release.layout import RELEASE_FILES
from data.validation import InputError

REAL = os.environ.get("RETURNS_SHARED_DATA")
needs_real_data = pytest.mark.skipif(REAL is None, reason="RETURNS_SHARED_DATA is not set")

Frames = dict[str, pd.DataFrame]
Writer = Callable[..., Path]
SILENT = SilentReporter()
TABLES = ("event_table", "customer_nodes", "product_nodes")
SIX = [f"{table}_{period}" for table in TABLES for period in ("training", "testing")]


def read(folder: Path) -> SourceTables:
    return GraphReturns(folder).read(SILENT)


def faults(call: Callable[[], object]) -> list[str]:
    with pytest.raises(InputError) as caught:
        call()
    return [str(fault) for fault in caught.value.faults]


def digests(manifest: Manifest) -> dict[str, str]:
    return {table.name: table.sha256 for table in manifest.tables}


def real_release(folder: Path, suffix: str) -> Path:
    folder.mkdir()
    for path in (Path(REAL or "") / "graphreturns_sample").glob(f"*{suffix}"):
        shutil.copy(path, folder)
    return folder


@needs_real_data
def test_real_rows_ingest_alike_from_pickle_and_csv(tmp_path: Path) -> None:
    manifests = []
    for suffix in (".p", ".csv"):
        source = GraphReturns(real_release(tmp_path / suffix[1:], suffix))
        dataset, manifest = open_dataset(ingest(source, tmp_path / "datasets", SILENT))
        manifests.append(manifest)
        assert len(manifest.files) == 6
    assert digests(manifests[0]) == digests(manifests[1])
    assert manifests[0].counts == manifests[1].counts
    assert manifests[0].digest != manifests[1].digest
    counts = manifests[0].counts
    assert counts["rejects"] == 0
    assert counts["events"] == 400
    assert counts["events_train"] + counts["events_validation"] == counts["events_test"] == 200
    assert (counts["customers"], counts["variants"]) == (188 + 193, 38 + 35)
    assert counts["duplicate_events_training"] == counts["conflicting_pairs_training"] == 1
    assert not any(number for name, number in counts.items() if "mismatches" in name)
    # Every node row of the sample was taken because an event points to it.
    assert set(dataset.events["customer_row"].drop_null().to_pylist()) == set(range(381))
    assert set(dataset.events["variant_row"].drop_null().to_pylist()) == set(range(73))


@needs_real_data
def test_real_values_arrive_unchanged(tmp_path: Path) -> None:
    tables = read(real_release(tmp_path / "p", ".p"))
    raw = pd.read_csv(
        Path(REAL or "") / "graphreturns_sample" / "product_nodes_testing.csv", dtype=str
    )
    rows = tables.variants.to_pandas().query("period == 'testing'").reset_index(drop=True)
    pairs = {
        "variant_key": "hash(variantID)",
        "product": "hash(productID)",
        "product_type": "productType",
        "average_price_gbp": "avgGbpPrice",
        "product_return_rate": "productReturnRate",
        "variant_return_code_d": "variantID_level_return_code_D",
        "variant_return_code_d2": "variantID_level_return_code_D.1",
        "variant_return_code_l": "variantID_level_return_code_L",
    }
    for ours, theirs in pairs.items():
        values = rows[ours].tolist()
        assert values == [type(values[0])(text) for text in raw[theirs]]


@pytest.mark.parametrize("seed", range(3))
def test_pickle_csv_and_other_headers_give_the_same_bytes(
    seed: int, release_maker: Callable[..., Frames], write: Writer, tmp_path: Path
) -> None:
    release = release_maker(seed)
    renamed = {stem: frame.copy() for stem, frame in release.items()}
    twice = {"customerId_level_return_code_D", "variantID_level_return_code_D"}
    for style, suffix in enumerate([".1", "__dup2"]):
        for frame in list(renamed.values())[style::2]:
            names = list(frame.columns)
            frame.columns = pd.Index(
                name + suffix if name in twice and name in names[:position] else name
                for position, name in enumerate(names)
            )
    folders = [write(release, tmp_path / "p", ".p"), write(release, tmp_path / "csv")]
    folders.append(write(renamed, tmp_path / "renamed"))
    indexed = tmp_path / "indexed"
    indexed.mkdir()
    for stem, frame in release.items():
        frame.set_axis(range(1, len(frame) + 1)).to_csv(
            indexed / f"{stem}.csv", lineterminator="\r\n", encoding="utf-8-sig"
        )
    manifests = [
        open_dataset(ingest(GraphReturns(folder), tmp_path / "datasets", SILENT))[1]
        for folder in [*folders, indexed]
    ]
    assert manifests[0].counts["rejects"] == 0
    for manifest in manifests[1:]:
        assert digests(manifest) == digests(manifests[0])
        assert manifest.counts == manifests[0].counts


def test_where_both_formats_lie_the_pickle_is_read(
    release: Frames, write: Writer, tmp_path: Path
) -> None:
    write(release, tmp_path, ".p")
    write({SIX[0]: release[SIX[0]].head(3)}, tmp_path, ".csv")
    paths = GraphReturns(tmp_path).files(SILENT)
    assert [path.name for path in paths] == [f"{stem}.p" for stem in SIX]
    assert read(tmp_path).events.num_rows == 600


def test_tables_follow_the_contract(release: Frames, write: Writer, tmp_path: Path) -> None:
    tables = read(write(release, tmp_path))
    for table in (tables.events, tables.customers, tables.variants):
        assert all(role_of(field) and field.metadata[b"description"] for field in table.schema)
        # Else the bytes of the Parquet files would depend on how a file was cut into blocks.
        assert all(values.num_chunks == 1 for values in table.columns)
    assert tables.events.schema.names == [
        "row_id",
        "customer_key",
        "variant_key",
        "returned",
        "split",
    ]
    roles = {
        Role.PROFILE: {"year_of_birth", "is_male", "premier"},
        Role.CATALOGUE: {"average_price_gbp", "average_discount"},
        Role.ATTRIBUTE: {"shipping_country", "product", "product_type", "supplier", "brand"},
    }
    for role, names in roles.items():
        found = [columns_with_role(t.schema, [role]) for t in (tables.customers, tables.variants)]
        assert {name for each in found for name in each} == names
    assert len(columns_with_role(tables.customers.schema, [Role.AGGREGATE])) == 3 + 13
    assert len(columns_with_role(tables.variants.schema, [Role.AGGREGATE])) == 3 + 13 + 1
    price = column("average_price_gbp", pa.float64(), Role.CATALOGUE, "Mean price", "GBP")
    assert tables.variants.schema.field("average_price_gbp").equals(price, check_metadata=True)
    assert tables.period_of_split == {
        "train": "training",
        "validation": "training",
        "test": "testing",
    }
    assert tables.missing_rows_leak == ("customers",)


def test_events_stand_in_file_order(release: Frames, write: Writer, tmp_path: Path) -> None:
    events = read(write(release, tmp_path)).events.to_pandas()
    files = pd.concat([release["event_table_training"], release["event_table_testing"]])
    assert events["row_id"].tolist() == [*range(1, 301), *range(1, 301)]
    assert events["customer_key"].tolist() == files["hash(customerId)"].tolist()
    assert events["variant_key"].tolist() == files["hash(variantID)"].tolist()
    assert events["returned"].tolist() == files["isReturned"].tolist()
    assert set(events["split"][:300]) == {"train", "validation"}
    assert set(events["split"][300:]) == {"test"}
    sides = events[:300].groupby("customer_key")["split"].nunique()
    assert sides.max() == 1


def test_all_faults_of_all_files_come_together(
    release: Frames, write: Writer, tmp_path: Path
) -> None:
    release["event_table_training"] = release["event_table_training"].head(0)
    release["event_table_testing"]["isReturned"] = "perhaps"
    release["customer_nodes_training"] = release["customer_nodes_training"].drop(
        columns=["premier", "Country_E"]
    )
    nodes = release["customer_nodes_testing"]
    release["customer_nodes_testing"] = pd.concat([nodes, nodes[["isMale"]]], axis=1)
    release["product_nodes_training"]["avgGbpPrice"] = "£9"
    write(release, tmp_path)
    cut = tmp_path / "product_nodes_testing.csv"
    cut.write_bytes(cut.read_bytes()[:-100])
    found = faults(lambda: read(tmp_path))
    expected = [
        ("event_table_training.csv", "no rows"),
        ("event_table_testing.csv", "column 'isReturned': no value is a whole number"),
        ("customer_nodes_training.csv", "column 'premier': the column is missing"),
        ("customer_nodes_training.csv", "column 'Country_E': the column is missing"),
        ("customer_nodes_testing.csv", "column 'isMale': the column is there twice"),
        ("product_nodes_training.csv", "column 'avgGbpPrice': no value is a number"),
        ("product_nodes_testing.csv", "ends in the middle of a row"),
    ]
    assert len(found) == len(expected)
    for fault, (file, message) in zip(found, expected, strict=True):
        assert fault.startswith(file)
        assert message in fault


def test_truncated_and_hostile_pickles_are_reported_with_the_rest(
    release: Frames, write: Writer, tmp_path: Path
) -> None:
    write(release, tmp_path, ".p")
    cut = tmp_path / "customer_nodes_testing.p"
    cut.write_bytes(cut.read_bytes()[:1000])
    (tmp_path / "event_table_training.p").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    found = faults(lambda: read(tmp_path))
    assert len(found) == 2
    assert "'os.system'" in found[0]
    assert "customer_nodes_testing.p" in found[1]


def test_missing_files_are_all_named(release: Frames, write: Writer, tmp_path: Path) -> None:
    write(release, tmp_path)
    (tmp_path / "customer_nodes_testing.csv").unlink()
    (tmp_path / "event_table_testing.csv").unlink()
    for call in (lambda: GraphReturns(tmp_path).files(SILENT), lambda: read(tmp_path)):
        found = faults(call)
        assert len(found) == 2
        assert "event_table_testing.p" in found[0]
        assert "customer_nodes_testing.p" in found[1]
    assert len(faults(lambda: GraphReturns(tmp_path / "absent").files(SILENT))) == 6


BAD_CELLS = {
    "hash(customerId)": ["", "x", "1.5", "99999999999999999999"],
    "hash(variantID)": ["", "seven", "0.1"],
    "isReturned": ["", "2", "-1", "maybe", "0.5"],
    "salesPerCustomer": ["many", "1.5"],
    "yearOfBirth": ["young"],
    "customerReturnRate": ["half", "inf"],
    "avgGbpPrice": ["£9", "1,50", "-inf"],
}
"""Values that cost their row, by column."""

FAULTY_CELLS = st.lists(
    st.tuples(
        st.sampled_from(SIX),
        st.sampled_from(sorted(BAD_CELLS)),
        st.integers(0, 10**6),
        st.integers(0, 10**6),
    ),
    max_size=12,
)
RAGGED_ROWS = st.lists(
    st.tuples(st.sampled_from(SIX), st.integers(0, 10**6), st.booleans()), max_size=4
)


@given(FAULTY_CELLS, RAGGED_ROWS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_row_is_lost_and_none_is_kept_in_vain(
    release: Frames,
    write: Writer,
    tmp_path: Path,
    cells: list[tuple[str, str, int, int]],
    ragged: list[tuple[str, int, bool]],
) -> None:
    texts = {stem: frame.astype("str") for stem, frame in release.items()}
    faulty: dict[str, set[int]] = {stem: set() for stem in SIX}
    for stem, name, row, choice in cells:
        frame = texts[stem]
        if name in frame.columns:
            row %= len(frame)
            frame.iloc[row, frame.columns.get_loc(name)] = BAD_CELLS[name][
                choice % len(BAD_CELLS[name])
            ]
            faulty[stem].add(row + 1)
    write(texts, tmp_path)
    # Of two changes to one row only the last is made: together they could cancel out.
    changes = {(stem, row % len(release[stem]) + 1): longer for stem, row, longer in ragged}
    for (stem, row), is_longer in changes.items():
        path = tmp_path / f"{stem}.csv"
        lines = path.read_text().splitlines()
        lines[row] = lines[row] + ",0" if is_longer else lines[row].rpartition(",")[0]
        path.write_text("\n".join(lines) + "\n")
        faulty[stem].add(row)
    tables = read(tmp_path)
    rejects = tables.rejects.to_pandas()
    assert (rejects["reason"].str.len() > 0).all()
    for content in rejects["content"]:
        json.loads(content)
    for stem in SIX:
        rejected = rejects[rejects["file"] == f"{stem}.csv"]["row"].tolist()
        assert rejected == sorted(faulty[stem])
    kept = {
        "event_table": tables.events,
        "customer_nodes": tables.customers,
        "product_nodes": tables.variants,
    }
    for table, rows in kept.items():
        number = sum(len(release[stem]) for stem in SIX if stem.startswith(table))
        number_faulty = sum(len(faulty[stem]) for stem in SIX if stem.startswith(table))
        assert rows.num_rows + number_faulty == number
    train = tables.events.to_pandas().query("split != 'test'")
    good = [row for row in range(1, 301) if row not in faulty["event_table_training"]]
    assert train["row_id"].tolist() == good
    expected = release["event_table_training"].iloc[np.array(good) - 1]
    assert train["customer_key"].tolist() == expected["hash(customerId)"].tolist()
    assert train["returned"].tolist() == expected["isReturned"].tolist()


def test_files_of_osf_are_asked_for_first(tmp_path: Path) -> None:
    assert GraphReturns.from_osf(tmp_path) == GraphReturns(tmp_path, OsfProject("c793h"))
    away = OsfProject("c793h", "http://127.0.0.1:9", Patience(1))
    (fault,) = faults(lambda: GraphReturns(tmp_path, away).files(SILENT))
    assert "connection failed" in fault


def test_pinned_files_are_the_six_tables() -> None:
    assert sorted(file.name for file in RELEASE_FILES) == sorted(f"{stem}.p" for stem in SIX)
    assert round(sum(file.bytes for file in RELEASE_FILES) / 1e6) == 742
    assert len({file.sha256 for file in RELEASE_FILES}) == 6
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in RELEASE_FILES)


def test_source_is_told_by_its_files_alone(release: Frames, write: Writer, tmp_path: Path) -> None:
    first = GraphReturns(write(release, tmp_path / "one"))
    second = GraphReturns(write(release, tmp_path / "two"))
    assert first.name == "graphreturns"
    assert first.options == {}
    datasets = tmp_path / "datasets"
    assert ingest(first, datasets, SILENT) == ingest(second, datasets, SILENT)


def new_events(release: Frames, folder: Path, write: Writer) -> Path:
    """Events and nodes to score, called `_monday`; events without labels."""
    frames = {
        "event_table_monday": release["event_table_testing"].drop(columns="isReturned"),
        "customer_nodes_monday": release["customer_nodes_testing"],
        "product_nodes_monday": release["product_nodes_testing"],
    }
    return write(frames, folder)


@pytest.mark.parametrize("suffix", [".p", ".csv"])
def test_new_events_with_their_nodes(
    suffix: str, release: Frames, write: Writer, tmp_path: Path
) -> None:
    folder = new_events(release, tmp_path, lambda frames, to: write(frames, to, suffix))
    source = GraphReturns(tmp_path / "unused")
    by_file = source.read_new_events(folder / f"event_table_monday{suffix}")
    by_folder = source.read_new_events(folder)
    assert by_folder.events.equals(by_file.events)
    assert by_folder.customers.equals(by_file.customers)
    whole = read(write(release, tmp_path / "release"))
    testing = pa.compute.field("period") == "testing"
    assert by_file.customers.equals(whole.customers.filter(testing))
    assert by_file.variants.equals(whole.variants.filter(testing))
    assert by_file.events["returned"].null_count == by_file.events.num_rows == 300
    assert by_file.events.schema.equals(whole.events.schema, check_metadata=True)
    assert set(by_file.events["split"].to_pylist()) == {"test"}
    assert by_file.period_of_split["test"] == "testing"
    expected = whole.events.filter(pa.compute.field("split") == "test")
    for name in ("row_id", "customer_key", "variant_key", "split"):
        assert by_file.events[name].equals(expected[name])


def test_labels_of_new_events_are_not_looked_at(
    release: Frames, write: Writer, tmp_path: Path
) -> None:
    frame = release["event_table_testing"].astype({"isReturned": object})
    frame["isReturned"] = "unknown yet"
    path = write({"orders": frame}, tmp_path) / "orders.csv"
    tables = GraphReturns(tmp_path).read_new_events(path)
    assert tables.events.num_rows == 300
    assert tables.rejects.num_rows == tables.customers.num_rows == tables.variants.num_rows == 0
    whole = read(write(release, tmp_path / "release"))
    assert tables.customers.schema.equals(whole.customers.schema, check_metadata=True)
    assert tables.variants.schema.equals(whole.variants.schema, check_metadata=True)


def test_new_events_that_cannot_be_scored_are_set_aside(
    release: Frames, write: Writer, tmp_path: Path
) -> None:
    frame = release["event_table_testing"].astype("str").head(4)
    frame.iloc[1, 0] = "?"
    tables = GraphReturns(tmp_path).read_new_events(
        write({"event_table_x": frame}, tmp_path) / "event_table_x.csv"
    )
    assert tables.events["row_id"].to_pylist() == [1, 3, 4]
    assert tables.rejects["row"].to_pylist() == [2]


def test_faults_of_new_events(release: Frames, write: Writer, tmp_path: Path) -> None:
    source = GraphReturns(tmp_path)
    assert "no event table" in faults(lambda: source.read_new_events(tmp_path))[0]
    assert "no such file" in faults(lambda: source.read_new_events(tmp_path / "absent.csv"))[0]
    (tmp_path / "events.parquet").write_bytes(b"")
    (fault,) = faults(lambda: source.read_new_events(tmp_path / "events.parquet"))
    assert "'.parquet' are not read" in fault
    write(release, tmp_path / "release")
    (fault,) = faults(lambda: source.read_new_events(tmp_path / "release"))
    assert "event_table_testing, event_table_training" in fault
    folder = new_events(release, tmp_path / "new", write)
    for name in ("customer_nodes_monday.csv", "product_nodes_monday.csv"):
        (folder / name).write_text("a,b\n1,2\n")
    found = faults(lambda: source.read_new_events(folder))
    assert {fault.split(",")[0] for fault in found} == {
        "customer_nodes_monday.csv",
        "product_nodes_monday.csv",
    }


def test_frame_is_read_as_its_file_is(release: Frames, write: Writer, tmp_path: Path) -> None:
    frame = release["event_table_testing"]
    path = write({"events": frame}, tmp_path) / "events.csv"
    by_file = GraphReturns(tmp_path).read_new_events(path)
    for given_frame in (frame, frame.set_axis(frame.index + 5).iloc[:, [1, 0]], frame.astype(str)):
        by_frame = tables_from_frame(given_frame)
        for table in ("events", "customers", "variants", "rejects"):
            assert getattr(by_frame, table).equals(getattr(by_file, table))
        assert by_frame.period_of_split == by_file.period_of_split
        rows = pa.Table.from_pandas(given_frame, preserve_index=False)
        assert tables_from_rows(rows).events.equals(by_file.events)


def test_columns_of_new_events_are_the_two_keys() -> None:
    columns = new_event_columns()
    assert {column.name for column in columns} == {"hash(customerId)", "hash(variantID)"}
    assert all(column.is_required and column.description for column in columns)


def test_faults_of_frames(release: Frames) -> None:
    frame = release["event_table_testing"]
    (fault,) = faults(lambda: tables_from_frame(frame.drop(columns="hash(customerId)")))
    assert fault.startswith("data frame, column 'hash(customerId)'")
    assert "no rows" in faults(lambda: tables_from_frame(frame.head(0)))[0]
    keys_as_floats = frame.astype({"hash(variantID)": float})
    assert "no value is a whole number" in faults(lambda: tables_from_frame(keys_as_floats))[0]
    mixed = frame.astype({"hash(customerId)": object})
    mixed.iloc[2, 1] = "unknown"
    mixed.iloc[4, 1] = None
    tables = tables_from_frame(mixed)
    assert tables.rejects["row"].to_pylist() == [3, 5]
    assert tables.events.num_rows == 298
