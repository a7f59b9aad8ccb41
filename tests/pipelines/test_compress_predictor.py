"""`compress --study predictor`: from a trained predictor to a pruned one that scores as any."""

import io
import shutil
from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from data.dataset import open_dataset
from data.validation import InputError
from pipelines import compress, predict, tracking, train
from pipelines.compression_study import profiles
from pipelines.compression_study.fine_tuning import FineTuning
from pipelines.compression_study.predictor import PredictorStudy
from pipelines.compression_study.trained_predictor import open_predictor
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display
from pipelines.source_arguments import SourceArguments
from returns.event_set import EventSet
from returns.knowledge import LEARNING


@pytest.fixture
def copied(trained_home, tmp_path):
    """A home with the same runs and datasets, to which more may be logged."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    shutil.copy(trained_home.folder / "mlflow.db", folder)
    shutil.copytree(trained_home.folder / "datasets", folder / "datasets")
    home = Home.prepare(folder)
    tracking.connect(home)
    return home


def logged_run(home, name, experiment="returns"):
    store = mlflow.MlflowClient(home.tracking_uri)
    number = store.get_experiment_by_name(experiment).experiment_id
    found = store.search_runs([number], f"tags.model = '{name}'")
    return found[0]


def opened(uri, home) -> PredictorStudy:
    with progress_display(Console(file=io.StringIO())) as progress:
        return PredictorStudy.of(open_predictor(uri, home, ProgressReporter(progress)), 600)


def compressed(uri, home, **options):
    arguments = compress.Arguments(study="predictor", model=uri, home=home.root, **options)
    printed = io.StringIO()
    compress.main(arguments, Console(file=printed, width=140))
    return printed.getvalue()


def pruned_uri(printed):
    (line,) = (line for line in printed.splitlines() if line.startswith("pruned to"))
    return line.split()[-1]


def test_a_perceptron_is_pruned_compared_and_logged(home, trained_home, tmp_path, run):
    train.main(
        train.Arguments(
            source="orders",
            tables=SourceArguments(path=trained_home.orders),
            models=("mlp",),
            epochs=3,
            refit=False,
            home=home.root,
        ),
        Console(file=io.StringIO()),
    )
    dense = logged_run(home, "mlp")
    uri = f"runs:/{dense.info.run_id}/model"
    printed = compressed(uri, home)
    recorded = logged_run(home, "mlp", "compression").data
    # What it is compared with is what `train` measured.
    for name in ("f1", "f1_at_threshold", "cross_entropy"):
        assert opened(uri, home).dense_figures()[f"test_{name}"] == pytest.approx(
            dense.data.metrics[f"test_{name}"], abs=1e-6
        )
    cells = pd.read_csv(home.compression / "predictor-mlp-orders-smoke" / "cells.csv")
    assert list(cells["method"]) == ["magnitude", "diagonal_fisher", "fishleg"]
    assert (cells["test_f1_difference_low"] <= cells["test_f1_difference"]).all()
    assert recorded.metrics["sparsity"] == pytest.approx(0.9, abs=1e-3)
    stored = {name: recorded.metrics[f"bytes of weights/{name}"] for name in ("dense", "pruned")}
    assert stored["pruned"] < stored["dense"] / 5
    assert recorded.metrics["CPU ms a basket/pruned"] > 0
    # It scores order lines as any model does, and may be pruned again.
    events, out = tmp_path / "new.csv", tmp_path / "scores.csv"
    pd.read_csv(trained_home.orders).tail(30).to_csv(events, index=False)
    words = ("--model", pruned_uri(printed), "--events", events, "--out", out)
    done = run(predict, "--home", home.root, *words)
    assert done.code == 0, done.errors
    assert len(pd.read_csv(out)) == 30
    again = opened(pruned_uri(printed), home)
    assert not again.trained.learned_validation
    zeros = [weight.eq(0).double().mean() for weight in again.trained.model.network.parameters()]
    assert max(zeros) > 0.8


def test_a_refitted_graph_network_keeps_its_calibration(copied, monkeypatch):
    smoke = profiles.PREDICTOR["smoke"]
    plan = replace(smoke.plan, methods=("magnitude",), sparsities=(0.5,))
    # No step of fine-tuning changes anything.
    smoke = replace(
        smoke, plan=plan, fine_tuning=FineTuning(1, 1, 0.0), fine_tuned_sparsities=(0.5,)
    )
    monkeypatch.setattr(compress, "PREDICTOR", {"smoke": smoke})
    uri = f"runs:/{logged_run(copied, 'gnn').info.run_id}/model"
    printed = compressed(uri, copied)
    assert "its calibration stays as it is" in printed
    dense, pruned = (tracking.load_predictor(each) for each in (uri, pruned_uri(printed)))
    assert pruned.calibration == dense.calibration
    assert type(pruned.model) is type(dense.model)
    members = zip(dense.model.network.members(), pruned.model.network.members(), strict=True)
    for before, after in members:
        weights = after.state_dict()
        assert any(weight.eq(0).double().mean() > 0.4 for weight in weights.values())
        for name, weight in before.state_dict().items():
            # Magnitude compensates nothing: what stays is as it was.
            kept = weights[name] != 0
            assert np.array_equal(weights[name][kept], weight[kept])


def test_curvature_hears_what_training_heard(copied):
    uri = f"runs:/{logged_run(copied, 'gnn').info.run_id}/model"
    study = opened(uri, copied)
    trained = study.trained
    (folder,) = copied.datasets.iterdir()
    expected = trained.predictor.preparation.event_set(open_dataset(folder)[0], LEARNING)
    assert isinstance(trained.learning, EventSet)
    assert np.array_equal(trained.learning.labels, expected.labels)
    assert len(trained.learning) + len(trained.test.labels) == len(open_dataset(folder)[0].events)
    # An event hears earlier days alone: no neighbour is of its own day or later.
    heard = trained.learning.build_neighbourhood(16)
    for lists in heard.relations.values():
        lengths, events = lists.of(np.arange(len(trained.learning)))
        owner = np.repeat(heard.targets, lengths)
        assert (heard.day[events] < heard.day[owner]).all()


@pytest.mark.parametrize(
    ("model", "words"),
    [("logistic", "has no network to prune"), ("missing", "cannot be loaded")],
)
def test_what_cannot_be_pruned_is_refused(copied, model, words):
    uri = "models:/nothing/1"
    if model != "missing":
        uri = f"runs:/{logged_run(copied, model).info.run_id}/model"
    with pytest.raises(InputError, match=words):
        compressed(uri, copied)


def test_a_dataset_that_is_gone_is_named(copied):
    uri = f"runs:/{logged_run(copied, 'gnn').info.run_id}/model"
    shutil.rmtree(copied.datasets)
    with pytest.raises(InputError, match="dataset that the model was trained on"):
        compressed(uri, copied)


def test_the_model_must_be_named(tmp_path):
    with pytest.raises(InputError, match="study predictor needs it"):
        compress.main(compress.Arguments(study="predictor", home=tmp_path), Console())
