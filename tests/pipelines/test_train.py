import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from pipelines import predict, train
from pipelines.cost_file import read_costs
from pipelines.home import Home


def client(home: Path) -> MlflowClient:
    uri = f"sqlite:///{home / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)


def runs(home: Path):
    store = client(home)
    experiment = store.get_experiment_by_name("returns")
    found = store.search_runs([experiment.experiment_id])
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    children = {run.data.tags["model"]: run for run in found if run not in parents}
    return parents, children


def test_it_prints_the_comparison_and_how_to_open_the_ui(trained_home):
    for word in ("logistic", "gnn", "precision", "recall", "F1", "cross-", "AUC", "strict"):
        assert word in trained_home.printed
    assert f"mlflow ui --backend-store-uri sqlite:///{trained_home.folder}" in trained_home.printed


def test_it_prints_how_to_score_with_the_models_of_this_home(trained_home):
    (line,) = (line for line in trained_home.printed.splitlines() if "pipelines.predict" in line)
    _, *words = shlex.split(line.partition("python -m pipelines.predict")[2])
    assert words[1:] == ["--home", str(trained_home.folder), "--events", "FILE", "--out", "FILE"]


def test_one_parent_run_and_a_child_per_model(trained_home):
    parents, children = runs(trained_home.folder)
    assert len(parents) == 1
    assert set(children) == {"logistic", "gnn"}
    for name, child in children.items():
        assert child.info.status == "FINISHED"
        assert child.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert child.data.tags["protocol"] == "strict"
        assert child.data.tags["source"] == "orders"
        assert child.data.params["seed"] == "0"
        for split in ("validation", "test"):
            for metric in ("f1", "cross_entropy", "precision", "recall", "roc_auc"):
                assert 0 <= child.data.metrics[f"{split}_{metric}"] <= 1.5, (name, metric)
            for metric in ("average_precision", "brier", "ece", "f1_low", "f1_high"):
                assert 0 <= child.data.metrics[f"{split}_{metric}"] <= 1
        assert child.inputs.dataset_inputs[0].dataset.digest


def test_the_parent_shows_the_comparison(trained_home):
    (parent,), children = runs(trained_home.folder)
    for name, child in children.items():
        f1 = child.data.metrics["test_f1"]
        assert parent.data.metrics[f"test_f1/{name}"] == f1
        assert f"{f1:.4f}" in parent.data.tags["mlflow.note.content"]


def test_neural_models_log_metrics_per_epoch(trained_home):
    _, children = runs(trained_home.folder)
    history = client(trained_home.folder).get_metric_history(
        children["gnn"].info.run_id, "fit/validation_cross_entropy"
    )
    assert {metric.step for metric in history} >= {0, 1}


def test_plots_tables_and_predictions_are_artifacts(trained_home):
    store = client(trained_home.folder)
    (parent,), children = runs(trained_home.folder)

    def listed(run, folder: str) -> set[str]:
        return {Path(file.path).name for file in store.list_artifacts(run.info.run_id, folder)}

    assert {"test.csv", "test.md"} <= listed(parent, "comparison")
    assert {"comparison.png", "roc.png", "precision_recall.png"} <= listed(parent, "plots")
    plots = listed(children["gnn"], "plots")
    assert {"roc.png", "reliability.png", "scores.png", "learning_curve.png"} <= plots
    assert listed(children["gnn"], "predictions") == {"test.parquet"}


def test_a_model_loads_without_pickle_in_a_fresh_process_bit_identically(trained_home, tmp_path):
    orders = pd.read_csv(trained_home.orders)
    new = orders[orders["order_date"] >= "2012-12-01"].drop(columns="return")
    new.to_csv(tmp_path / "new.csv", index=False)
    script = """
import sys, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
model.predict(pd.read_csv(sys.argv[3])).to_parquet(sys.argv[4])
"""
    _, children = runs(trained_home.folder)
    for name, child in children.items():
        (model,) = client(trained_home.folder).search_logged_models(
            [child.info.experiment_id], f"source_run_id = '{child.info.run_id}'"
        )
        arguments = [
            f"sqlite:///{trained_home.folder / 'mlflow.db'}",
            model.model_uri,
            str(tmp_path / "new.csv"),
            str(tmp_path / f"{name}.parquet"),
        ]
        # Without the project on the path: the model brings its own code.
        environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
        subprocess.run(
            [sys.executable, "-c", script, *arguments], check=True, env=environment, cwd=tmp_path
        )
        scored = pd.read_parquet(tmp_path / f"{name}.parquet")
        path = client(trained_home.folder).download_artifacts(
            child.info.run_id, "predictions/test.parquet"
        )
        logged = pd.read_parquet(path)
        assert np.array_equal(scored["row_id"], logged["row_id"])
        assert np.array_equal(scored["probability"], logged["probability"])


def test_the_first_registered_version_is_champion(trained_home):
    store = client(trained_home.folder)
    version = store.get_model_version_by_alias("returns", "champion")
    assert int(version.version) == 1


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pipelines.train", *map(str, arguments)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--models", "oracle"], "oracle"),
        (["--protocol", "loose"], "loose"),
        (["--no-such-option"], "no-such-option"),
        (["--epochs", "0"], "--epochs"),
        (["--source", "orders"], "--path"),
        (["--source", "orders", "--path", "absent.csv"], "absent.csv"),
        (["--scale", "-1"], "--scale"),
        (["--home", "/dev/null/home"], "cannot be written"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what(tmp_path, run, arguments, says):
    ended = run(train, "--home", tmp_path, *arguments)
    assert ended.code == 2
    assert says in ended.errors
    assert "Traceback" not in ended.errors
    assert not list(tmp_path.iterdir())


def test_a_killed_training_is_buried_and_the_next_one_works(trained_home, tmp_path):
    arguments = ("--source", "orders", "--path", trained_home.orders, "--home", tmp_path)
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    process = subprocess.Popen(
        command(*arguments, "--models", "gnn", "--epochs", "100000"),
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (tmp_path / "mlflow.db").exists() and running_children(tmp_path):
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command(*arguments, "--models", "logistic"), check=True, env=environment)
    statuses = sorted(run.info.status for run in every_run(tmp_path))
    assert statuses == ["FINISHED", "FINISHED", "KILLED", "KILLED"]
    assert not list((tmp_path / "datasets").glob(".*partial"))


def every_run(home: Path):
    store = client(home)
    experiment = store.get_experiment_by_name("returns")
    return store.search_runs([experiment.experiment_id]) if experiment else []


def running_children(home: Path) -> bool:
    import sqlite3

    try:
        with sqlite3.connect(home / "mlflow.db") as database:
            (number,) = database.execute("select count(*) from runs").fetchone()
    except sqlite3.OperationalError:
        return False
    return number >= 2


def test_the_tracking_variable_is_honoured(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    home = Home.prepare(tmp_path / "home")
    assert home.tracking_uri == f"sqlite:///{tmp_path / 'elsewhere.db'}"
    assert not home.tracks_here


def test_the_real_sample_of_graphreturns_goes_the_whole_way(tmp_path, run):
    if "RETURNS_SHARED_DATA" not in os.environ:
        pytest.skip("RETURNS_SHARED_DATA, the folder of real data, is not set")
    sample = Path(os.environ["RETURNS_SHARED_DATA"]) / "graphreturns_sample"
    words = ("--source", "graphreturns", "--path", sample, "--home", tmp_path, "--epochs", 2)
    ended = run(train, *words, "--models", "lightgbm", "gnn", "--protocol", "paper")
    assert ended.code == 0, ended.errors
    _, children = runs(tmp_path)
    assert all(child.data.metrics["test_num_events"] == 200 for child in children.values())
    (model,) = client(tmp_path).search_logged_models(
        [children["gnn"].info.experiment_id],
        f"source_run_id = '{children['gnn'].info.run_id}'",
    )
    out = tmp_path / "scores.parquet"
    events = sample / "event_table_testing.csv"
    scored = run(
        predict, "--model", model.model_uri, "--events", events, "--out", out, "--home", tmp_path
    )
    assert scored.code == 0, scored.errors
    logged = client(tmp_path).download_artifacts(
        children["gnn"].info.run_id, "predictions/test.parquet"
    )
    assert pd.read_parquet(out)["probability"].equals(pd.read_parquet(logged)["probability"])


def test_costs_set_the_threshold_and_put_the_money_into_table_and_plots(
    trained_home, tmp_path, run
):
    costs = Path(__file__).parents[2] / "docs" / "examples" / "costs.yaml"
    words = ("--source", "orders", "--path", trained_home.orders, "--home", tmp_path)
    ended = run(train, *words, "--models", "logistic", "--costs", costs)
    assert ended.code == 0, ended.errors
    assert "saved /" in ended.output
    _, children = runs(tmp_path)
    metrics = children["logistic"].data.metrics
    assert metrics["test_threshold"] == read_costs(costs).threshold
    assert metrics["test_saving_low"] < metrics["test_saving"] < metrics["test_saving_high"]
    assert metrics["test_saving"] <= metrics["test_largest_saving"]
    files = client(tmp_path).list_artifacts(children["logistic"].info.run_id, "plots")
    assert "plots/saving.png" in {file.path for file in files}


def test_a_faulty_cost_file_stops_before_the_work(trained_home, tmp_path, run):
    (tmp_path / "costs.yaml").write_text("margin: 3\n")
    ended = run(train, "--costs", tmp_path / "costs.yaml", "--home", tmp_path / "home")
    assert ended.code == 2
    assert "'return_cost' is missing" in ended.errors
    assert not (tmp_path / "home").exists()
