"""The twin as a source: generated once, whole or not at all, read like the release."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest

from data.dataset import ingest, open_dataset, read_true_probability
from data.files import digest_file
from data.reporter import SilentReporter
from data.sources.graphreturns import GraphReturns
from data.sources.twin import Twin
from data.synthesis.files import TABLE_FILES, TRUTH_FILES
from data.validation import InputError

SCALE = 0.003


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    made = Twin(SCALE, 5, tmp_path_factory.mktemp("twin"))
    made.files(SilentReporter())
    return made


class _InterruptionError(Exception):
    """Stands for whatever ends a process."""


class _InterruptingReporter(SilentReporter):
    def progress(self, task: str, completed: float, total: float | None = None) -> None:
        if completed:
            raise _InterruptionError


def test_files_are_the_six_tables_and_two_of_truth(twin: Twin) -> None:
    paths = twin.files(SilentReporter())
    assert [path.name for path in paths] == [*TABLE_FILES, *TRUTH_FILES]
    assert {path.name for path in paths[0].parent.iterdir()} == {path.name for path in paths}


def test_header_of_each_table_is_the_releases(twin: Twin) -> None:
    shared = os.environ.get("RETURNS_SHARED_DATA")
    if shared is None:
        pytest.skip("RETURNS_SHARED_DATA, the folder of real data, is not set")
    for path in twin.files(SilentReporter())[:6]:
        real = Path(shared) / "graphreturns_sample" / path.name
        with real.open() as ours, path.open() as theirs:
            assert ours.readline().rstrip() == theirs.readline().rstrip()


def test_same_options_give_the_same_bytes_and_another_seed_does_not(
    twin: Twin, tmp_path: Path
) -> None:
    def digests(other: Twin) -> list[str]:
        return [digest_file(path).sha256 for path in other.files(SilentReporter())]

    assert digests(Twin(SCALE, 5, tmp_path)) == digests(twin)
    assert not set(digests(Twin(SCALE, 6, tmp_path))) & set(digests(twin))


def test_what_is_there_is_not_generated_again(twin: Twin) -> None:
    before = {path: path.stat().st_mtime_ns for path in twin.files(SilentReporter())}
    assert {path: path.stat().st_mtime_ns for path in twin.files(SilentReporter())} == before


def test_interrupted_generation_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    twin = Twin(SCALE, 5, tmp_path)
    with pytest.raises(_InterruptionError):
        twin.files(_InterruptingReporter())
    assert not list(tmp_path.iterdir())
    assert all(path.exists() for path in twin.files(SilentReporter()))


@pytest.mark.parametrize(
    ("scale", "seed", "faults"),
    [(0.0, 0, 1), (-1.0, -1, 2), (float("nan"), 0, 1), (float("inf"), 0, 1), (1.0, -3, 1)],
)
def test_options_out_of_range_are_reported_together(
    scale: float, seed: int, faults: int, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        Twin(scale, seed, tmp_path)
    assert len(error.value.faults) == faults


def test_no_event_is_lost_or_moved_on_the_way(twin: Twin) -> None:
    paths = twin.files(SilentReporter())
    raw = pd.concat([pd.read_csv(path) for path in paths[:2]], ignore_index=True)
    tables = twin.read(SilentReporter())
    assert tables.rejects.num_rows == 0
    assert (tables.events["variant_key"].to_numpy() == raw["hash(variantID)"]).all()
    assert (tables.events["customer_key"].to_numpy() == raw["hash(customerId)"]).all()
    assert (tables.events["returned"].to_numpy() == raw["isReturned"]).all()


def test_truth_stands_beside_its_own_event(twin: Twin) -> None:
    """Shuffled among the events, the truth would tell no more than the mean rate does."""
    tables = twin.read(SilentReporter())
    assert tables.true_probability is not None
    truth = np.clip(tables.true_probability.to_numpy(), 1e-9, 1 - 1e-9)
    for split in ("train", "test"):
        chosen = pc.equal(tables.events["split"], split).to_numpy(zero_copy_only=False)
        returned = tables.events["returned"].to_numpy()[chosen]
        loss = -np.log(np.where(returned == 1, truth[chosen], 1 - truth[chosen])).mean()
        rate = returned.mean()
        assert loss < -rate * np.log(rate) - (1 - rate) * np.log(1 - rate) - 0.08


def test_truth_of_another_length_is_a_fault(tmp_path: Path) -> None:
    twin = Twin(SCALE, 7, tmp_path)
    paths = twin.files(SilentReporter())
    pd.read_parquet(paths[-1]).iloc[1:].to_parquet(paths[-1], index=False)
    with pytest.raises(InputError, match="probabilities"):
        twin.read(SilentReporter())


def test_dataset_keeps_the_truth_out_of_the_tables_that_models_read(
    twin: Twin, tmp_path: Path
) -> None:
    folder = ingest(twin, tmp_path / "datasets", SilentReporter())
    dataset, manifest = open_dataset(folder)
    assert manifest.source == "twin"
    assert manifest.options == twin.options
    truth = read_true_probability(folder)
    assert truth is not None
    assert len(truth) == dataset.events.num_rows
    for table in (dataset.events, dataset.customers, dataset.variants):
        assert not [name for name in table.column_names if "probab" in name]


def test_quirks_of_the_release_are_there(twin: Twin) -> None:
    paths = {path.stem: path for path in twin.files(SilentReporter())}
    products = pd.read_csv(paths["product_nodes_training"])
    customers = pd.read_csv(paths["customer_nodes_training"])
    first, second = (f"customerId_level_return_code_D{suffix}" for suffix in ("", ".1"))
    assert not np.allclose(customers[first], customers[second])
    assert "Brand_H" not in products
    brands = products.filter(regex="^Brand_.$")
    assert (brands[products["brandDesc"] == "Pull&Bear"] == 0).all(axis=None)
    assert (brands[products["brandDesc"] != "Pull&Bear"].sum(axis=1) == 1).all()
    _assert_dummies(products, dict(zip(["Jeans", *"DEFGHIJ"], "DEFGHIJK", strict=True)))
    _assert_dummies(products, {letter: letter for letter in "ABC"})
    assert (customers["yearOfBirth"] == 1900).any()


def test_node_tables_are_consistent(twin: Twin) -> None:
    paths = {path.stem: path for path in twin.files(SilentReporter())}
    for period in ("training", "testing"):
        for table, owner in (("customer", "Customer"), ("product", "Product")):
            rows = pd.read_csv(paths[f"{table}_nodes_{period}"])
            sales, returns = rows[f"salesPer{owner}"], rows[f"returnsPer{owner}"]
            assert (returns >= 1).all()
            assert (sales >= returns).all()
            np.testing.assert_allclose(rows[f"{table}ReturnRate"], returns / sales, rtol=1e-15)
            reasons = rows.filter(like="_return_code_")
            assert reasons.shape[1] == 13
            np.testing.assert_allclose(reasons.sum(axis=1), 1)
            assert not rows.isna().any(axis=None)


def test_product_rows_are_alike_in_both_files(twin: Twin) -> None:
    paths = {path.stem: path for path in twin.files(SilentReporter())}
    both = [
        pd.read_csv(paths[f"product_nodes_{period}"]).set_index("hash(variantID)")
        for period in ("training", "testing")
    ]
    shared = both[0].index.intersection(both[1].index)
    pd.testing.assert_frame_equal(both[0].loc[shared], both[1].loc[shared])


def test_sales_cover_the_sampled_events(twin: Twin) -> None:
    paths = {path.stem: path for path in twin.files(SilentReporter())}
    for period in ("training", "testing"):
        events = pd.read_csv(paths[f"event_table_{period}"])
        rows = pd.read_csv(paths[f"customer_nodes_{period}"]).set_index("hash(customerId)")
        own = events.groupby("hash(customerId)")["isReturned"].agg(["size", "sum"])
        own = own[own.index.isin(rows.index)]
        assert len(own) == len(rows)
        assert (rows["salesPerCustomer"].loc[own.index] >= own["size"]).all()
        assert (rows["returnsPerCustomer"].loc[own.index] >= own["sum"]).all()


def test_new_events_are_read_as_the_releases_are(twin: Twin, tmp_path: Path) -> None:
    path = tmp_path / "event_table_new.csv"
    source = twin.files(SilentReporter())[1]
    pd.read_csv(source).head(20).drop(columns="isReturned").to_csv(path, index=False)
    read = twin.read_new_events(path)
    assert read.events.equals(GraphReturns(tmp_path).read_new_events(path).events)
    assert read.events.num_rows == 20
    assert read.events["returned"].null_count == 20


def _assert_dummies(products: pd.DataFrame, dummy_of_letter: Mapping[str, str]) -> None:
    """Every type given occurs, and has a 1 in the column of its dummy and in no other."""
    dummies = products.filter(regex="^productType_.$")
    for letter, dummy in dummy_of_letter.items():
        name = letter if letter == "Jeans" else f"productType_{letter}"
        rows = dummies[products["productType"] == name]
        assert len(rows) > 0
        assert (rows[f"productType_{dummy}"] == 1).all()
        assert (rows.sum(axis=1) == 1).all()
