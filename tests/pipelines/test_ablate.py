import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from rich.console import Console

from data.dataset import Manifest, index_tables
from pipelines import ablate, ablation_fits
from pipelines.ablation_fits import AblationData, KeptFits
from pipelines.ablations import Case, applicable_cases
from pipelines.exclusive import exclusive
from pipelines.experiment import Experiment
from pipelines.progress import ProgressReporter, progress_display
from pipelines.source_arguments import SourceArguments
from returns.ablation import TakenOut
from returns.metrics import ScoredEvents
from returns.preparation import Preparation
from returns.protocol import Protocol

CASES = ("no-neighbours", "lightgbm")
WORDS = ("--scale", 0.002, "--seeds", 2, "--epochs", 2, "--cases", *CASES)
"""What `ablated_home` was made with: a tiny synthetic twin."""


@pytest.fixture(scope="module")
def ablated_home(tmp_path_factory):
    """Three cases with two seeds, in which the test split must not even be prepared."""
    folder = tmp_path_factory.mktemp("ablated")
    arguments = ablate.Arguments(
        tables=SourceArguments(scale=0.002), cases=CASES, seeds=2, epochs=2, home=folder
    )
    prepare = Preparation.event_set

    def refuse_test(self, dataset, split):
        assert split != "test"
        return prepare(self, dataset, split)

    with pytest.MonkeyPatch.context() as patch, (folder / "printed").open("w") as printed:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(Preparation, "event_set", refuse_test)
        ablate.main(arguments, Console(file=printed, width=120))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


@pytest.fixture
def copied_home(ablated_home, tmp_path):
    return shutil.copytree(ablated_home, tmp_path / "home")


def predictions(home):
    """Every kept fit: its file, and when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in home.glob("ablations/*/*.parquet")}


def table(home, reference="gnn", split="validation"):
    (path,) = home.glob(f"ablations/*-{split}/against-{reference}/table.csv")
    return pd.read_csv(path)


def of_all(rows, metric):
    chosen = rows[(rows["group"] == "all") & (rows["metric"] == metric)]
    return chosen.set_index("case")


def runs(home):
    store = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = store.get_experiment_by_name("returns")
    return store.search_runs([experiment.experiment_id])


def case_names(tables, protocol=Protocol.STRICT):
    dataset = index_tables(tables)[0]
    preparation = Preparation.fit(dataset, protocol)
    events = preparation.event_set(dataset, "train")
    cases = {case.name: case for case in applicable_cases(events, preparation.keys, {})}
    for case in cases.values():  # each finds what it takes out
        case.taken_out.of(events).build_neighbourhood(2)
    return set(cases)


EVERYWHERE = {
    *("gnn", "average-of-5"),
    *("stack", "lightgbm", "xgboost", "mlp", "sage", "gnn-paper"),
}
OF_NEIGHBOURS = {
    *("no-neighbours", "no-customer-neighbours", "no-variant-neighbours", "no-neighbour-labels"),
    *("half-fan-out", "double-fan-out"),
}
OF_COLUMNS = {"no-recent-history", "no-crossed-keys", "no-basket", "no-comparisons"}


def test_every_case_applies_to_dated_order_lines(dated_tables):
    expected = EVERYWHERE | OF_NEIGHBOURS | OF_COLUMNS | {"no-group-messages"}
    assert case_names(dated_tables) == expected


def test_undated_events_have_fewer_cases(undated_tables):
    assert case_names(undated_tables) == EVERYWHERE | OF_NEIGHBOURS
    assert case_names(undated_tables, Protocol.PAPER) == EVERYWHERE | {"no-group-messages"}


def test_column_cases_take_out_what_they_say(dated):
    preparation = Preparation.fit(dated, Protocol.STRICT)
    events = preparation.event_set(dated, "train")
    cases = {case.name: case for case in applicable_cases(events, preparation.keys, {})}
    names = set(events.features.numeric_names)

    def dropped(case):
        return names - set(cases[case].taken_out.of(events).features.numeric_names)

    assert "customer_last_3_return_rate" in dropped("no-recent-history")
    assert "customer_days_since_first" in dropped("no-recent-history")
    crossed = dropped("no-crossed-keys")
    assert {"order_price_band_earlier_return_rate", "customer_x_product_earlier_orders"} <= crossed
    assert dropped("no-basket") == {name for name in names if name.startswith("basket_")}
    assert {"size_number", "size_above_kept"} <= dropped("no-comparisons")
    assert "order_price_to_mean_of_variant" in dropped("no-comparisons")
    of_each = [dropped(f"no-{what}") for what in ("recent-history", "crossed-keys", "comparisons")]
    assert sum(map(len, of_each)) == len(set().union(*of_each))
    kept = {"customer_earlier_return_rate", "customer_days_since_last", "order_price"}
    assert not kept & set().union(*of_each)


def test_the_fan_out_is_halved_and_doubled_from_what_is_given(dated):
    preparation = Preparation.fit(dated, Protocol.STRICT)
    events = preparation.event_set(dated, "train")
    cases = applicable_cases(events, preparation.keys, {"fan_out": 10})
    fan_outs = {case.name: case.hyperparameters.get("fan_out") for case in cases}
    assert (fan_outs["half-fan-out"], fan_outs["double-fan-out"]) == (5, 20)


def test_a_case_that_changes_nothing_does_not_differ(ablated_home, copied_home, run, monkeypatch):
    nothing = Case("nothing", "nothing", taken_out=TakenOut(columns="^supplier$"))
    monkeypatch.setattr(TakenOut, "of", lambda self, events: events)
    known = ablate.applicable_cases
    monkeypatch.setattr(ablate, "applicable_cases", lambda *given: [*known(*given), nothing])
    words = (*WORDS, "--cases", "nothing", "--home", copied_home)
    ended = run(ablate, *words)
    assert ended.code == 0, ended.errors
    assert len(predictions(copied_home)) == len(predictions(ablated_home)) + 2
    rows = table(copied_home)
    same = rows[rows["case"] == "nothing"]
    assert len(same) == len(rows[rows["case"] == "gnn"]) > 0
    assert (same[["difference", "low", "high", "seed_deviation"]] == 0).all(axis=None)


def test_figures_are_means_over_seeds_of_the_kept_predictions(ablated_home):
    (folder,) = ablated_home.glob("datasets/twin-*")
    events = pq.read_table(folder / "events.parquet").to_pandas()
    events = events[events["split"] == "validation"].set_index("row_id")
    rows = of_all(table(ablated_home), "cross_entropy")
    losses = {}
    for path in ablated_home.glob("ablations/*/*.parquet"):
        kept = pq.read_table(path)
        found = kept.to_pandas()
        labels = events.loc[found["row_id"], "returned"].to_numpy()
        assert list(found["row_id"]) == list(events.index)
        exact = ScoredEvents.of(labels, found["probability"].to_numpy(), 0.5).metrics()
        case = kept.schema.metadata[b"case"].decode()
        losses.setdefault(case, []).append(exact["cross_entropy"])
    assert set(losses) == {"gnn", *CASES}
    for case, of_case in losses.items():
        assert len(of_case) == 2
        assert rows.loc[case, "value"] == pytest.approx(np.mean(of_case))
        expected = np.mean(of_case) - np.mean(losses["gnn"])
        assert rows.loc[case, "difference"] == pytest.approx(expected, abs=1e-12)
        assert rows.loc[case, "low"] <= rows.loc[case, "difference"] <= rows.loc[case, "high"]


def test_what_is_written_and_logged_agrees(ablated_home):
    rows = of_all(table(ablated_home), "roc_auc")
    by_loss = of_all(table(ablated_home), "cross_entropy")
    assert by_loss["difference"].is_monotonic_decreasing
    (found,) = runs(ablated_home)
    assert found.data.tags["command"] == "ablate"
    assert found.info.status == "FINISHED"
    for case in ("gnn", *CASES):
        metrics = found.data.metrics
        assert metrics[f"validation_roc_auc/{case}"] == pytest.approx(rows.loc[case, "value"])
        difference = metrics[f"validation_cross_entropy_difference_low/{case}"]
        assert difference == pytest.approx(by_loss.loc[case, "low"])
    assert not any(name.startswith("test") for name in found.data.metrics)
    artifacts = MlflowClient(f"sqlite:///{ablated_home / 'mlflow.db'}").list_artifacts(
        found.info.run_id, "ablation"
    )
    names = {path.path.removeprefix("ablation/") for path in artifacts}
    assert names == {"table.csv", "table.md", "table.json", "forest.png"}
    (written,) = ablated_home.glob("ablations/*/against-gnn/table.json")
    content = json.loads(written.read_text())
    assert [case["name"] for case in content["cases"]] == list(by_loss.index)
    assert content["settings"]["source"] == "twin (synthetic)"
    markdown = written.with_suffix(".md").read_text()
    assert all(f"| {case} |" in markdown for case in CASES)
    assert "synthetic" in (ablated_home / "printed").read_text()


def test_the_same_command_again_fits_nothing(ablated_home, copied_home, run, monkeypatch):
    before = predictions(ablated_home), table(ablated_home)
    monkeypatch.setattr(KeptFits, "_run", lambda *_: pytest.fail("something was fitted"))
    ended = run(ablate, *WORDS, "--home", copied_home)
    assert ended.code == 0, ended.errors
    assert predictions(copied_home).keys() == before[0].keys()
    pd.testing.assert_frame_equal(table(copied_home), before[1])


def test_more_seeds_add_fits_and_another_reference_adds_none(copied_home, run):
    before = predictions(copied_home)
    assert run(ablate, *WORDS, "--seeds", 3, "--home", copied_home).code == 0
    after = predictions(copied_home)
    assert len(after) == len(before) + 3
    assert {name: after[name] for name in before} == before
    ended = run(ablate, *WORDS, "--reference", "lightgbm", "--home", copied_home)
    assert ended.code == 0, ended.errors
    assert predictions(copied_home) == after
    rows = of_all(table(copied_home, "lightgbm"), "cross_entropy")
    assert set(rows.index) == {"lightgbm", "no-neighbours"}
    assert rows.loc["lightgbm", "difference"] == 0
    assert rows.loc["no-neighbours", "difference"] != 0


def test_other_hyperparameters_are_other_fits_and_a_case_keeps_its_own(
    copied_home, run, tmp_path, monkeypatch
):
    given = {"gnn": {"hidden": 8, "fan_out": 6, "members": 2}, "lightgbm": {"num_leaves": 3}}
    path = tmp_path / "given.json"
    path.write_text(json.dumps(given))
    made = []
    create = ablation_fits.create
    monkeypatch.setattr(
        ablation_fits, "create", lambda *a, **k: made.append((a[0], k)) or create(*a, **k)
    )
    before = predictions(copied_home)
    words = (*WORDS, "--seeds", 1, "--hyperparameters", path, "--home", copied_home)
    ended = run(ablate, *words)
    assert ended.code == 0, ended.errors
    assert len(predictions(copied_home)) == len(before) + 3
    assert ("gnn", {"hidden": 8, "fan_out": 6, "members": 1}) in made
    assert ("gnn", {"hidden": 8, "fan_out": 0, "members": 1}) in made
    assert ("lightgbm", {"num_leaves": 3}) in made


def test_a_killed_ablation_goes_on_where_it_was(copied_home, run):
    finished = len(predictions(copied_home))
    words = ["--scale", "0.002", "--cases", "lightgbm", "--reference", "lightgbm"]
    command = [sys.executable, "-m", "pipelines.ablate", *words, "--home", str(copied_home)]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    process = subprocess.Popen(
        [*command, "--seeds", "10000"], stdout=subprocess.DEVNULL, env=environment
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(predictions(copied_home)) < finished + 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = predictions(copied_home)
    seeds = 2 + len(before) - finished
    assert seeds >= 4
    assert not list(copied_home.glob("ablations/*/against-lightgbm"))
    ended = run(ablate, *words, "--seeds", seeds + 1, "--home", copied_home)
    assert ended.code == 0, ended.errors
    after = predictions(copied_home)
    assert len(after) == len(before) + 1
    assert {name: after[name] for name in before} == before
    assert sorted(found.info.status for found in runs(copied_home)) == [
        *("FINISHED", "FINISHED", "KILLED")
    ]


def test_the_test_split_is_scored_only_where_it_is_asked_for(copied_home, run):
    words = ("--scale", 0.002, "--cases", "lightgbm", "--reference", "lightgbm", "--seeds", 1)
    ended = run(ablate, *words, "--split", "test", "--home", copied_home)
    assert ended.code == 0, ended.errors
    rows = table(copied_home, "lightgbm", "test")
    assert set(rows["group"]) == {"all", "known", "new"}
    (found,) = (found for found in runs(copied_home) if found.data.params["split"] == "test")
    names = {name.split("/")[0] for name in found.data.metrics}
    assert names and all(name.startswith("test_") for name in names)


def test_the_test_split_is_scored_as_training_scores_it(make_tables, tmp_path):
    """Calibrated on validation, and of dated data after learning from validation too."""
    dataset = index_tables(make_tables())[0]
    place = (dataset, Protocol.STRICT, "tables", {}, None, 0, dataset.is_dated, 0)
    with progress_display(Console(file=io.StringIO())) as progress:
        reporter = ProgressReporter(progress)
        outcome = Experiment(*place, reporter).run("lightgbm", None, {}, reporter)
        data = ablation_data(dataset, "test")
        fits = KeptFits(data, tmp_path, None, {})
        case = Case("lightgbm", "", "lightgbm", {})
        probability = fits.get(case, 0, reporter).probability
    np.testing.assert_array_equal(probability, outcome.probability)
    assert (data.learning is not None) == dataset.is_dated


def test_groups_are_of_known_and_new_customers(dated):
    data = ablation_data(dated)
    groups = data.groups()
    train = dated.split_mask("train")
    customer = dated.events["customer"].to_numpy()
    known = np.isin(customer[dated.split_mask("validation")], customer[train])
    for name, expected in (("known", known), ("new", ~known)):
        assert (name in groups) == (expected.sum() >= 50 and not expected.all())
        if name in groups:
            np.testing.assert_array_equal(groups[name], expected)
    assert groups["all"].all()


def ablation_data(dataset, split="validation"):
    manifest = Manifest("tables", {}, (), "0" * 64, {}, (), ())
    with progress_display(Console(file=io.StringIO())) as progress:
        reporter = ProgressReporter(progress)
        return AblationData.prepare(dataset, manifest, Protocol.STRICT, 0, split, reporter)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--seeds", 0), "--seeds"),
        (("--seed", -1), "--seed"),
        (("--epochs", 0), "--epochs"),
        (("--label-delay-days", -1), "--label-delay-days"),
        (("--cases", "lightgbm", "lightgbm"), "named twice"),
        (("--cases", "no-shop-neighbours"), "there is no case 'no-shop-neighbours'"),
        (("--cases", "no-basket"), "there is no case 'no-basket' for this source"),
        (("--reference", "nothing"), "--reference"),
        (("--split", "train"), "--split"),
        (("--hyperparameters", "missing.json"), "cannot be read"),
    ],
)
def test_bad_options_are_refused_before_anything_is_fitted(words, says, tmp_path, run, monkeypatch):
    monkeypatch.setattr(KeptFits, "_run", lambda *_: pytest.fail("something was fitted"))
    ended = run(ablate, *WORDS, *words, "--home", tmp_path)
    assert ended.code == 2
    assert says in ended.errors
    assert not predictions(tmp_path)


def test_one_ablation_at_a_time(tmp_path, run):
    with exclusive(tmp_path / "ablations.lock"):
        ended = run(ablate, *WORDS, "--home", tmp_path)
    assert ended.code == 2
    assert "another process is at this work" in ended.errors
