"""A sound release of any format becomes the same tables."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from data.dataset import ingest, open_dataset
from data.osf import OsfProject, Patience
from data.schema import Role, column, columns_with_role, role_of
from data.sources.graphreturns import GraphReturns
from data.sources.release.layout import RELEASE_FILES
from tests.data.sources.graphreturns.conftest import (
    SILENT,
    SIX,
    Frames,
    Writer,
    digests,
    faults,
    read,
)


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
