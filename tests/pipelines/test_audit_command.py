"""The command `audit`: what it prints, records and returns to the shell."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from pipelines import audit, ingest


@dataclass(frozen=True)
class Shop:
    """A retailer's tables whose mapping declares a refund as known at the order."""

    mapping: Path
    honest_mapping: Path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all audits of this module: making MLflow's database takes long."""
    return tmp_path_factory.mktemp("audited") / "artifacts"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    random = np.random.default_rng(0)
    number = 2000
    returned = random.integers(0, 2, number)
    lines = pd.DataFrame(
        {
            "customer": random.integers(0, 300, number),
            "article": random.integers(0, 100, number),
            "returned": returned,
            "ordered_on": np.datetime64("2024-01-01") + np.sort(random.integers(0, 180, number)),
            "price": random.lognormal(3, 0.5, number).round(2),
            "refund": returned * random.lognormal(3, 0.5, number).round(2),
        }
    )
    lines.to_csv(folder / "lines.csv", index=False)
    mapping = """
events:
  file: lines.csv
  customer: customer
  variant: article
  returned: returned
  time: ordered_on
  columns:
    price: {role: order, type: number}
    refund: {role: ROLE, type: number}
"""
    for name, role in (("wrong", "order"), ("right", "after")):
        (folder / f"{name}.yaml").write_text(mapping.replace("ROLE", role))
    yield Shop(folder / "wrong.yaml", folder / "right.yaml")


def store(home: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


def run_of(home: Path, printed: str) -> Run:
    (line,) = [line for line in printed.splitlines() if line.startswith("run: ")]
    return store(home).get_run(line.split()[1])


def report_of(home: Path, run: Run) -> dict:
    path = store(home).download_artifacts(run.info.run_id, "audit/report.json")
    return json.loads(Path(path).read_text())


def test_paper_prints_and_records_the_leaks_of_the_twin_and_exits_with_0(home, run):
    ended = run(audit, "--protocol", "paper", "--home", home)
    assert ended.code == 0, ended.errors
    assert "twin (synthetic), protocol paper" in ended.output
    assert "leaks under paper" in ended.output
    for name in ("customer_return_rate", "returns_per_customer", "sales_per_product", "customers"):
        assert name in ended.output
    recorded = run_of(home, ended.output)
    tags = recorded.data.tags
    assert (tags["command"], tags["protocol"], tags["source"]) == ("audit", "paper", "twin")
    assert recorded.info.status == "FINISHED"
    assert recorded.inputs.dataset_inputs[0].dataset.digest
    report = report_of(home, recorded)
    leaks = [finding for finding in report["findings"] if finding["severity"] == "leak"]
    assert recorded.data.metrics["leaks"] == len(leaks) >= 5
    listed = store(home).list_artifacts(recorded.info.run_id, "audit")
    names = {Path(file.path).name for file in listed}
    assert names == {"report.json", "findings.csv", "findings.md", "columns.csv", "columns.md"}
    (chart,) = store(home).list_artifacts(recorded.info.run_id, "plots")
    assert chart.path == "plots/column_auc.png"
    path = store(home).download_artifacts(recorded.info.run_id, "audit/columns.csv")
    table = pd.read_csv(path, index_col=0)
    assert table["AUC train"].idxmax() == "customer_return_rate"
    assert 0.78 < table.loc["customer_return_rate", "AUC test"] < 0.82


def test_strict_finds_no_leak_in_the_twin_and_exits_with_0(home, run):
    ended = run(audit, "--home", home)
    assert ended.code == 0, ended.errors
    assert "no leak under strict" in ended.output
    assert run_of(home, ended.output).data.metrics["leaks"] == 0


def test_a_leak_under_strict_exits_with_1_and_says_what_to_do(home, run, shop):
    ended = run(audit, "--source", "tables", "--path", shop.mapping, "--home", home)
    assert ended.code == 1
    assert "leak refund" in ended.output
    assert "declare it `after`" in " ".join(ended.output.split())
    assert "Traceback" not in ended.errors
    recorded = run_of(home, ended.output)
    assert recorded.info.status == "FINISHED"
    assert recorded.data.metrics["leaks"] == 1
    honest = run(audit, "--source", "tables", "--path", shop.honest_mapping, "--home", home)
    assert honest.code == 0, honest.output


def test_a_dataset_directory_is_audited_as_it_is(home, run, shop):
    ended = run(ingest, "tables", "--path", shop.mapping, "--home", home)
    (line,) = [line for line in ended.output.splitlines() if line.startswith("dataset: ")]
    folder = Path(line.removeprefix("dataset: "))
    ended = run(audit, folder, "--home", home)
    assert ended.code == 1
    recorded = run_of(home, ended.output)
    assert recorded.data.tags["source"] == recorded.data.params["source"] == "tables"
    assert recorded.data.params["dataset"] == folder.name


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no/such/folder"], "no dataset directory"),
        (["folder", "--source", "orders"], "one or the other"),
        (["folder", "--scale", "0.1"], "one or the other"),
        (["--source", "orders"], "--path"),
        (["--scale", "-1"], "--scale"),
        (["--protocol", "loose"], "loose"),
        (["--label-delay-days", "-1"], "--label-delay-days"),
        (["--no-such-option"], "no-such-option"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what(tmp_path, run, arguments, says):
    ended = run(audit, "--home", tmp_path, *arguments)
    assert ended.code == 2
    assert says in ended.errors
    assert "Traceback" not in ended.errors
    assert not list(tmp_path.iterdir())


def test_a_test_split_of_one_label_exits_with_2(tmp_path, run, shop):
    late = ("--validation-from", "2024-06-20", "--test-from", "2024-06-27")
    lines = pd.read_csv(shop.mapping.parent / "lines.csv")
    lines.loc[lines["ordered_on"] >= "2024-06-27", "returned"] = 0
    lines.to_csv(tmp_path / "lines.csv", index=False)
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(shop.mapping.read_text())
    words = ("--source", "tables", "--path", mapping, *late, "--home", tmp_path / "home")
    ended = run(audit, *words)
    assert ended.code == 2
    assert "the test split has" in ended.errors


def test_help_explains_the_exit_codes(run):
    ended = run(audit, "--help")
    assert ended.code == 0
    said = " ".join(ended.output.split())
    for words in ("0 no leak", "1 leaks under --protocol strict", "2 wrong usage"):
        assert words in said, said


def test_the_real_sample_goes_the_whole_way(home, run):
    if "RETURNS_SHARED_DATA" not in os.environ:
        pytest.skip("RETURNS_SHARED_DATA, the folder of real data, is not set")
    sample = Path(os.environ["RETURNS_SHARED_DATA"]) / "graphreturns_sample"
    words = ("--source", "graphreturns", "--path", sample, "--home", home)
    paper = run(audit, *words, "--protocol", "paper")
    assert paper.code == 0, paper.errors
    findings = report_of(home, run_of(home, paper.output))["findings"]
    single = [finding for finding in findings if finding["check"] == "single column"]
    assert [finding["columns"] for finding in single] == [["customer_return_rate"]]
    assert run(audit, *words).code == 0
