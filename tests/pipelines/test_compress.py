import os
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from data.validation import InputError
from pipelines import compress

needs_images = pytest.mark.skipif(
    "RETURNS_SHARED_DATA" not in os.environ, reason="needs the shared images"
)


@pytest.fixture
def images():
    return Path(os.environ["RETURNS_SHARED_DATA"]) / "images"


@needs_images
def test_the_dense_network_is_trained_scored_and_recorded(images, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(compress, "SMOKE_IMAGES", 500)
    arguments = compress.Arguments(images, profile="smoke", home=tmp_path / "home")
    with (tmp_path / "printed").open("w") as printed:
        compress.main(arguments, Console(file=printed, width=120))
    assert "dense ResNet-18: test accuracy" in (tmp_path / "printed").read_text()
    store = MlflowClient(f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}")
    experiment = store.get_experiment_by_name("compression")
    (run,) = store.search_runs([experiment.experiment_id])
    assert run.data.tags["study"] == "resnet18"
    assert 0 < run.data.metrics["dense_test_accuracy"] < 1
    assert "fit/training_loss" in run.data.metrics


def test_a_folder_without_images_is_reported(tmp_path):
    with pytest.raises(InputError, match="cifar10"):
        compress.main(compress.Arguments(tmp_path, home=tmp_path / "home"), Console())
