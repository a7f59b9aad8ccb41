"""`train` under torchrun: one voice, one record, and an end in order."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from data.validation import Fault, InputError
from pipelines import train
from pipelines.processes import by_first, is_first, joined, num_processes, together


def torchrun(*words: object, command: str = "train") -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return [*launcher, "-m", f"pipelines.{command}", *map(str, words)]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}


def runs(home: Path) -> dict[str, object]:
    """Runs of a home by their model; the parent's is "parent"."""
    store = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = store.get_experiment_by_name("returns")
    found = store.search_runs([experiment.experiment_id]) if experiment else []
    names = [run.data.tags.get("model", "parent") for run in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, found, strict=True))


def test_two_processes_do_what_one_does(trained_home, tmp_path):
    models = ("--models", "logistic", "gnn", "--epochs", 2)
    source = ("--source", "orders", "--path", trained_home.orders, "--home", tmp_path)
    ended = subprocess.run(
        torchrun(*source, *models), env=environment(), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    for line in ("test split", "run: ", "gnn: done", "compare in the MLflow UI"):
        assert ended.stdout.count(line) == 1, ended.stdout
    together, alone = runs(tmp_path), runs(trained_home.folder)
    assert set(together) == {"parent", "logistic", "gnn"}
    assert {run.info.status for run in together.values()} == {"FINISHED"}
    assert together["parent"].data.params["processes"] == "2"
    assert alone["parent"].data.params["processes"] == "1"
    metrics = {
        name: [found[name].data.metrics["test_cross_entropy"] for found in (together, alone)]
        for name in ("logistic", "gnn")
    }
    assert metrics["logistic"][0] == metrics["logistic"][1]
    assert metrics["gnn"][0] != metrics["gnn"][1]  # the processes drop different states
    assert metrics["gnn"][0] == pytest.approx(metrics["gnn"][1], abs=0.01)
    (dataset,) = (tmp_path / "datasets").iterdir()
    assert dataset.name.startswith("orders-")


def test_a_killed_process_ends_the_others_in_order(trained_home, tmp_path, run):
    source = ("--source", "orders", "--path", trained_home.orders, "--home", tmp_path)
    with subprocess.Popen(
        torchrun(*source, "--models", "gnn", "--epochs", 100_000),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        try:
            first = process_of_model(tmp_path)
            (other,) = children(launcher.pid) - {first}
            os.kill(other, signal.SIGKILL)
        except BaseException:
            launcher.terminate()
            raise
        _, errors = launcher.communicate()
    assert launcher.returncode != 0
    assert errors.count("error: rank 1 of the 2 processes ended before the work was done") == 1
    assert "give the same command again" in " ".join(errors.split())
    assert f"Signal 9 (SIGKILL) received by PID {other}" in errors
    assert {name: run.info.status for name, run in runs(tmp_path).items()} == {
        "parent": "FAILED",
        "gnn": "FAILED",
    }
    assert not list(tmp_path.rglob("*.partial"))
    again = run(train, *source, "--models", "logistic")
    assert again.code == 0, again.errors


def process_of_model(home: Path) -> int:
    """The process that keeps the model's record, as soon as there is one."""
    query = """select tags.value from tags join tags as model using (run_uuid)
        where tags.key = 'process' and model.key = 'model'"""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        # MLflow's own client would meddle with a database that is being made.
        with contextlib.suppress(sqlite3.OperationalError):
            with sqlite3.connect(f"file:{home / 'mlflow.db'}?mode=ro", uri=True) as database:
                found = database.execute(query).fetchall()
            if found:
                return int(found[0][0].rpartition(":")[2])
        time.sleep(0.2)
    raise TimeoutError("no model is being trained")


def children(process: int) -> set[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True
    )
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    return {child for child, parent in pairs if parent == process}


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        ("train", ["--no-such"], "no-such"),
        ("predict", ["--model", "m", "--events", "e", "--out", "o"], "works in one process"),
    ],
)
def test_wrong_usage_is_said_once(tmp_path, command, words, says):
    ended = subprocess.run(
        torchrun("--home", tmp_path, *words, command=command),
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    assert ended.stderr.count(says) == 1, ended.stderr
    assert ended.stderr.count("exitcode  : 2 ") == 2  # torchrun's own is 1, whatever failed
    assert not list(tmp_path.iterdir())


def test_one_process_alone_works_for_itself():
    assert num_processes() == 1
    assert is_first()
    with joined():
        assert together(lambda: "result") == "result"
        assert by_first(lambda: "result") == "result"

    def fail() -> None:
        raise InputError([Fault("file", "is wrong", "Change it")])

    for each in (together, by_first):
        with pytest.raises(InputError, match="is wrong"), joined():
            each(fail)
