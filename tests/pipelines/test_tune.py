import json
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

from data.dataset import open_dataset
from data.reporter import SilentReporter
from pipelines import train, tune, tuning
from pipelines.exclusive import exclusive
from pipelines.source_arguments import SourceArguments
from returns.models.registry import create, search_space
from returns.preparation import Preparation
from returns.protocol import Protocol

MODELS = ("logistic", "lightgbm")
WORDS = ("--scale", 0.001, "--models", *MODELS, "--trials", 4, "--repeat-best", 2)
"""What `tuned_home` was made with: a tiny synthetic twin."""


@dataclass(frozen=True)
class TunedHome:
    """A home after `tune`, and what was printed."""

    folder: Path
    printed: str


@pytest.fixture(scope="module")
def tuned_home(tmp_path_factory):
    """Four trials of two models, in which the test split must not even be prepared."""
    folder = tmp_path_factory.mktemp("tuned")
    arguments = tune.Arguments(
        tables=SourceArguments(scale=0.001), models=MODELS, trials=4, repeat_best=2, home=folder
    )
    prepare = Preparation.event_set

    def refuse_test(self, dataset, split):
        assert split != "test"
        return prepare(self, dataset, split)

    with pytest.MonkeyPatch.context() as patch, (folder / "printed").open("w") as printed:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(Preparation, "event_set", refuse_test)
        tune.main(arguments, Console(file=printed, width=120))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return TunedHome(folder, (folder / "printed").read_text())


@pytest.fixture
def copied_home(tuned_home, tmp_path):
    return shutil.copytree(tuned_home.folder, tmp_path / "home")


def store(home):
    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


def runs(home):
    """Every run, the earliest first."""
    experiment = store(home).get_experiment_by_name("returns")
    order = ["attributes.start_time"]
    return store(home).search_runs([experiment.experiment_id], order_by=order)


def parents(found):
    return [run for run in found if "mlflow.parentRunId" not in run.data.tags]


def children(found, parent):
    return [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]


def trial_tables(home):
    """The logged table of trials of each model, of a home with one tuning."""
    found = runs(home)
    (parent,) = parents(found)
    return {
        child.data.tags["model"]: pd.read_csv(
            store(home).download_artifacts(child.info.run_id, "tuning/trials.csv"),
            index_col="trial",
        )
        for child in children(found, parent)
    }


def chosen(home):
    return json.loads((home / "hyperparameters" / "twin-strict.json").read_text())


def finished_trials(home):
    """Search, parameters and loss of each finished trial, as they lie in the database."""
    query = """
        select study_name, trial_id, group_concat(param_name || '=' || param_value), value
        from trials join studies using (study_id) join trial_params using (trial_id)
        join trial_values using (trial_id) where state = 'COMPLETE' group by trial_id
    """
    try:
        with sqlite3.connect(home / "tuning.db") as database:
            found = database.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []
    return [
        (search, sorted(parameters.split(",")), loss)
        for search, _, parameters, loss in sorted(found, key=lambda row: row[1])
    ]


def trials_of(model, found):
    return [trial for trial in found if trial[0].startswith(model)]


def test_every_model_gets_the_same_trials_its_defaults_first(tuned_home):
    tables = trial_tables(tuned_home.folder)
    assert set(tables) == set(MODELS)
    for name, table in tables.items():
        assert len(table) == 4
        default = create(name).hyperparameters
        for parameter in search_space(name):
            assert table.loc[0, parameter] == pytest.approx(default[parameter])
        repeated = set(table.index[table["mean over seeds"].notna()])
        assert repeated == {0, *table["cross-entropy"].nsmallest(2).index}


def test_the_lowest_mean_over_seeds_is_chosen(tuned_home):
    assert set(chosen(tuned_home.folder)) == set(MODELS)
    for name, table in trial_tables(tuned_home.folder).items():
        best = table.loc[table["mean over seeds"].idxmin()]
        values = chosen(tuned_home.folder)[name]
        assert set(values) == set(search_space(name))
        for parameter, value in values.items():
            assert best[parameter] == pytest.approx(value)
            assert value in search_space(name)[parameter]


def test_a_loss_is_that_of_the_models_own_probabilities_on_validation(tuned_home):
    (folder,) = (tuned_home.folder / "datasets").glob("twin-*")
    dataset, _ = open_dataset(folder)
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    training, events = (preparation.event_set(dataset, split) for split in ("train", "validation"))
    model = create("logistic")
    model.fit(training, events, SilentReporter())
    probability = model.predict_proba(events)
    losses = -np.log(np.where(events.labels == 1, probability, 1 - probability))
    by_hand = np.average(losses, weights=events.weights)
    table = trial_tables(tuned_home.folder)["logistic"]
    assert table.loc[0, "cross-entropy"] == pytest.approx(by_hand)


def test_every_fit_is_a_nested_run(tuned_home):
    found = runs(tuned_home.folder)
    (parent,) = parents(found)
    assert {run.data.tags["command"] for run in found} == {"tune"}
    assert {run.info.status for run in found} == {"FINISHED"}
    assert "defaults" in parent.data.tags["mlflow.note.content"]
    for child in children(found, parent):
        name = child.data.tags["model"]
        fits, table = children(found, child), trial_tables(tuned_home.folder)[name]
        assert len(fits) == 4 + 2 * table["mean over seeds"].notna().sum()
        losses = [run.data.metrics["validation_cross_entropy"] for run in fits[:4]]
        np.testing.assert_allclose(losses, table["cross-entropy"])
        assert {run.data.params["model.seed"] for run in fits[:4]} == {"0"}
        assert {run.data.params["model.seed"] for run in fits[4:]} == {"1", "2"}
        assert not any(metric.startswith("test") for run in fits for metric in run.data.metrics)
        metrics = child.data.metrics
        assert metrics["validation_cross_entropy"] == table["mean over seeds"].min()
        assert metrics["default_validation_cross_entropy"] == table["mean over seeds"][0]
        plots = store(tuned_home.folder).list_artifacts(child.info.run_id, "plots")
        assert [file.path for file in plots] == ["plots/optimisation_history.png"]


def test_the_same_command_again_fits_nothing(copied_home, run, monkeypatch):
    before = finished_trials(copied_home), chosen(copied_home)
    num_runs = len(runs(copied_home))
    monkeypatch.setattr(tuning.Tuner, "_evaluate", lambda *_: pytest.fail("something was fitted"))
    ended = run(tune, *WORDS, "--home", copied_home)
    assert ended.code == 0, ended.errors
    assert (finished_trials(copied_home), chosen(copied_home)) == before
    assert len(runs(copied_home)) == num_runs + 1 + len(MODELS)


def test_more_trials_go_on_where_it_ended_and_fewer_leave_the_last_out(copied_home, run):
    before = finished_trials(copied_home)
    more = run(tune, *WORDS, "--trials", 6, "--models", "logistic", "--home", copied_home)
    assert more.code == 0, more.errors
    after = finished_trials(copied_home)
    assert after[: len(before)] == before
    assert len(trials_of("logistic", after)) == 6
    words = ("--trials", 1, "--repeat-best", 0, "--models", "logistic", "--home", copied_home)
    fewer = run(tune, *WORDS, *words)
    assert fewer.code == 0, fewer.errors
    default = create("logistic").hyperparameters["inverse_regularisation"]
    assert chosen(copied_home) == {"logistic": {"inverse_regularisation": default}}
    assert finished_trials(copied_home) == after


def test_a_killed_tuning_goes_on_where_it_was(tuned_home, tmp_path, run):
    words = [*WORDS[:3], "lightgbm", "--repeat-best", 1, "--home", tmp_path]
    command = [sys.executable, "-m", "pipelines.tune", *map(str, words), "--trials", "10000"]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(finished_trials(tmp_path)) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = finished_trials(tmp_path)
    assert len(before) >= 2
    assert not chosen_files(tmp_path)
    ended = run(tune, *words, "--trials", len(before) + 2)
    assert ended.code == 0, ended.errors
    after = finished_trials(tmp_path)
    assert after[:-2] == before
    uninterrupted = trials_of("lightgbm", finished_trials(tuned_home.folder))
    number = min(len(uninterrupted), len(after))
    assert after[:number] == uninterrupted[:number]
    statuses = {run.info.status for run in runs(tmp_path)}
    assert statuses == {"FINISHED", "KILLED"}
    assert chosen_files(tmp_path) == ["twin-strict.json"]


def chosen_files(home):
    return [path.name for path in (home / "hyperparameters").glob("*")]


def test_the_printed_command_trains_with_what_was_chosen(tuned_home, tmp_path, run):
    assert "synthetic" in tuned_home.printed
    (line,) = (line for line in tuned_home.printed.splitlines() if "pipelines.train" in line)
    words = shlex.split(line[line.index("pipelines.train") :])[1:]
    ended = run(train, *words, "--home", tmp_path)
    assert ended.code == 0, ended.errors
    parameters = {
        run.data.tags["model"]: run.data.params
        for run in runs(tmp_path)
        if "model" in run.data.tags
    }
    for name, values in chosen(tuned_home.folder).items():
        for parameter, value in values.items():
            assert parameters[name][f"model.{parameter}"] == str(value)


def test_a_model_without_a_search_space_is_tried_at_its_defaults(tmp_path, run, monkeypatch):
    monkeypatch.setattr(tuning, "search_space", lambda name: {})
    out = tmp_path / "chosen.json"
    words = ("--models", "logistic", "--trials", 3, "--seeds", 1, "--home", tmp_path)
    ended = run(tune, *WORDS, *words, "--out", out)
    assert ended.code == 0, ended.errors
    assert "logistic has no search space: evaluated at its defaults only" in ended.output
    assert json.loads(out.read_text()) == {"logistic": {}}
    assert len(runs(tmp_path)) == 2 + 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--trials", 0), "--trials"),
        (("--repeat-best", -1), "--repeat-best"),
        (("--seeds", 0), "--seeds"),
        (("--seed", -1), "--seed"),
        (("--label-delay-days", -1), "--label-delay-days"),
        (("--models", "mlp", "mlp"), "named twice"),
        (("--models", "oracle"), "oracle"),
        (("--out", "."), "is a folder"),
        (("--source", "orders"), "--path"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what(tmp_path, run, words, says):
    ended = run(tune, "--home", tmp_path, *words)
    assert ended.code == 2
    assert says in ended.errors
    assert "Traceback" not in ended.errors
    assert not list(tmp_path.iterdir())


def test_one_tuning_at_a_time(tmp_path, run):
    with exclusive(tmp_path / "tuning.lock"):
        ended = run(tune, *WORDS, "--home", tmp_path)
    assert ended.code == 2
    assert "another process" in ended.errors
    assert [path.name for path in tmp_path.iterdir()] == ["tuning.lock"]


def test_a_damaged_database_is_refused_before_any_work(tmp_path, run):
    (tmp_path / "tuning.db").write_text("no database" * 100)
    ended = run(tune, *WORDS, "--home", tmp_path)
    assert ended.code == 2
    assert "tuning.db: the file is no database of tuning" in ended.errors
    assert not (tmp_path / "datasets").exists()
