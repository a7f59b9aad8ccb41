import io
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

from compression.studies.training import TrainingSettings
from data.validation import InputError
from pipelines import compress
from pipelines.compression_study import profiles, quantisation
from pipelines.dense_networks import DenseRecipe

SHARED = os.environ.get("RETURNS_SHARED_DATA")
real = pytest.mark.skipif(SHARED is None, reason="RETURNS_SHARED_DATA, real data, is not set")


@pytest.fixture
def places():
    root = Path(SHARED)
    return {
        "images": root / "images",
        "checkpoint": root / "checkpoints" / "mlpnet_mnist_93.97.ckpt",
    }


def run(arguments, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    printed = io.StringIO()
    compress.main(arguments, Console(file=printed, width=120))
    return printed.getvalue()


def runs(home):
    store = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = store.get_experiment_by_name("compression")
    return store.search_runs([experiment.experiment_id])


@real
def test_the_mlpnet_is_pruned_compared_and_recorded(places, tmp_path, monkeypatch):
    grid = replace(profiles.SMOKE_GRID, steps=10, metric_steps=10)
    smoke = profiles.MLPNET["smoke"]
    smoke = replace(smoke, plan=replace(smoke.plan, grid=grid, stage_grid=grid))
    monkeypatch.setattr(compress, "MLPNET", {"smoke": smoke})
    arguments = compress.Arguments(**places, home=tmp_path / "home")
    printed = run(arguments, monkeypatch)
    assert "fishleg_joint" in printed
    assert "dense: 93.97" in printed
    folder = tmp_path / "home" / "compression" / "mlpnet-smoke"
    cells = pd.read_csv(folder / "cells.csv").set_index("method")
    # The published figure of global magnitude at 90 %.
    assert cells.loc["magnitude", "test_accuracy"] == pytest.approx(0.9028, abs=1.5e-4)
    assert cells.loc["chita", "test_accuracy"] > 0.9
    names = {path.name for path in folder.iterdir()}
    assert names == {"cells.csv", "tables.md", "accuracy-1-stage.png", "costs-1-stage.png"}
    (recorded,) = runs(tmp_path / "home")
    assert recorded.data.tags["study"] == "mlpnet"
    assert recorded.data.metrics["dense_test_accuracy"] == pytest.approx(0.9397)
    assert "test_accuracy/chita/1-stage/90" in recorded.data.metrics


@real
def test_the_resnet_is_trained_pruned_fine_tuned_and_recorded(places, tmp_path, monkeypatch):
    smoke = profiles.RESNET18["smoke"]
    settings = TrainingSettings(epochs=2, cuts=((1, 24),), batch_size=50, averaging=0.9)
    methods = ("magnitude", "fishleg_three_factor_sweep")
    smoke = replace(
        smoke,
        plan=replace(smoke.plan, methods=methods),
        recipe=DenseRecipe(8, settings),
        num_images=2300,
        num_held_out=100,
        fine_tuning=replace(settings, epochs=1, cuts=()),
    )
    monkeypatch.setattr(compress, "RESNET18", {"smoke": smoke})
    arguments = compress.Arguments(places["images"], study="resnet18", home=tmp_path / "home")
    printed = run(arguments, monkeypatch)
    assert "dense ResNet-18: test accuracy" in printed
    recorded = {run.info.run_name: run for run in runs(tmp_path / "home")}
    names = {"resnet18 dense smoke", "resnet18-smoke", "resnet18-smoke-fine-tuned"}
    assert set(recorded) == names
    dense = recorded["resnet18 dense smoke"].data
    assert 0 < dense.metrics["dense_test_accuracy"] < 1
    assert "fit/training_loss" in dense.metrics
    for name in names - {"resnet18 dense smoke"}:
        table = pd.read_csv(tmp_path / "home" / "compression" / name / "cells.csv")
        assert list(table["method"]) == list(methods)
        assert table["test_accuracy"].between(0, 1).all()
        assert "test_accuracy/fishleg_three_factor_sweep/1-stage/80" in recorded[name].data.metrics


@real
def test_the_mlpnet_is_quantised_and_recorded(places, tmp_path, monkeypatch):
    """By layers' inputs alone, as learning takes longer."""
    layerwise = quantisation.QUANTISERS["gptq"]
    ways = {"nearest": replace(layerwise, compensates=False), "gptq": layerwise}
    monkeypatch.setattr(quantisation, "QUANTISERS", ways)
    arguments = compress.Arguments(**places, study="quantisation", home=tmp_path / "home")
    assert "dense in 32 bits: 93.97" in run(arguments, monkeypatch)
    folder = tmp_path / "home" / "compression" / "quantisation-smoke"
    cells = pd.read_csv(folder / "cells.csv").set_index(["method", "bits"])
    assert len(cells) == 2 * 4
    accuracy = cells["test_accuracy"]
    assert accuracy["nearest", 8] == pytest.approx(0.94, abs=0.002)
    assert accuracy["gptq", 3] > accuracy["nearest", 3] + 0.01
    assert "gptq, 0% removed" in (folder / "tables.md").read_text()
    (recorded,) = runs(tmp_path / "home")
    assert "test_accuracy/gptq/3-bit/0" in recorded.data.metrics


def test_faults_of_the_options_are_reported_together(tmp_path):
    arguments = compress.Arguments(
        tmp_path, methods=("wanda",), stages=(0,), sparsities=(1.0,), seeds=0, home=tmp_path
    )
    with pytest.raises(InputError) as raised:
        compress.main(arguments, Console())
    named = [fault.file for fault in raised.value.faults]
    assert named == ["--checkpoint", "--methods", "--stages", "--sparsities", "--seeds"]


def test_quantisation_has_no_methods_and_stages_to_choose(tmp_path):
    arguments = compress.Arguments(
        tmp_path, study="quantisation", checkpoint=tmp_path, methods=("obc",), stages=(2,)
    )
    with pytest.raises(InputError) as raised:
        compress.main(arguments, Console())
    assert [fault.file for fault in raised.value.faults] == ["--methods", "--stages"]


@pytest.mark.parametrize(
    ("name", "message"), [("other", "no checkpoint of the MLPNet"), ("none", "No such file")]
)
def test_a_file_that_is_no_checkpoint_is_reported(tmp_path, name, message):
    (tmp_path / "other.ckpt").write_bytes(b"no checkpoint")
    arguments = compress.Arguments(tmp_path, checkpoint=tmp_path / f"{name}.ckpt", home=tmp_path)
    with pytest.raises(InputError, match=message):
        compress.main(arguments, Console())


@pytest.mark.parametrize("study", ["mlpnet", "quantisation", "resnet18"])
def test_a_folder_without_images_is_reported(tmp_path, study):
    if SHARED is None:
        pytest.skip("RETURNS_SHARED_DATA, real data, is not set")
    checkpoint = Path(SHARED) / "checkpoints" / "mlpnet_mnist_93.97.ckpt"
    arguments = compress.Arguments(tmp_path, study, checkpoint, home=tmp_path / "home")
    with pytest.raises(InputError):
        compress.main(arguments, Console())
