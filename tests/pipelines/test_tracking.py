"""Where MLflow is pointed, and what that leaves behind."""

import os
import shlex
import socket

import mlflow
from mlflow import MlflowClient

from pipelines import tracking
from pipelines.home import Home


def test_each_home_is_tracked_in_its_own_store(home, tmp_path):
    others = Home.prepare(tmp_path / "others")
    assert others.tracking_uri == f"sqlite:///{others.root / 'mlflow.db'}"
    stores = (home, others, home)
    for each in stores:
        tracking.connect(Home.prepare(each.root))
        with tracking.run("one", {}, {}):
            pass
    counts = []
    for each in (home, others):
        client = MlflowClient(each.tracking_uri)
        experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
        counts.append(len(client.search_runs([experiment.experiment_id])))
    assert counts == [2, 1]


def test_connecting_leaves_the_environment_as_it_was(home, monkeypatch):
    for wished in (None, home.tracking_uri):
        if wished is not None:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", wished)
        before = dict(os.environ)
        tracking.connect(Home.prepare(home.root))
        tracking.connect(Home.prepare(home.root), "another")
        assert dict(os.environ) == before
        assert mlflow.get_tracking_uri() == home.tracking_uri


def test_the_command_of_the_ui_is_one_for_a_shell(tmp_path):
    home = Home.prepare(tmp_path / "my $home")
    uri = f"sqlite:///{tmp_path}/my $home/mlflow.db"
    assert shlex.split(tracking.ui_command(home))[-1] == uri


def test_a_store_that_the_variable_names_is_never_printed(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@host/db")
    command = tracking.ui_command(Home.prepare(tmp_path))
    assert command == 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'


def test_runs_of_a_dead_process_of_the_same_number_are_buried_and_open_ones_are_not(home):
    tracking.connect(home)
    client = MlflowClient()
    own = {tracking.PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}"}
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    dead = client.create_run(experiment.experiment_id, tags=own)
    with tracking.run("one", {}, {}) as parent, tracking.run("two", {}, {}, nested=True) as child:
        tracking.connect(home)
        for open_here in (parent, child):
            assert client.get_run(open_here.info.run_id).info.status == "RUNNING"
        assert client.get_run(dead.info.run_id).info.status == "KILLED"
    for ended in (parent, child):
        assert client.get_run(ended.info.run_id).info.status == "FINISHED"
