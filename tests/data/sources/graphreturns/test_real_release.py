"""Rows of the real release arrive as they are."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from data.dataset import ingest, open_dataset
from data.sources.graphreturns import GraphReturns
from tests.data.sources.graphreturns.conftest import SILENT, digests, read

REAL = os.environ.get("RETURNS_SHARED_DATA")
needs_real_data = pytest.mark.skipif(REAL is None, reason="RETURNS_SHARED_DATA is not set")


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
