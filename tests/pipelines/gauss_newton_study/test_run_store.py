"""Finished runs: whole, found again, told apart by all that they depend on."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gn_study.studies.record import Record
from gn_study.studies.teacher import teacher_data
from gn_study.studies.training import train
from pipelines.gauss_newton_study.run_store import RunStore
from pipelines.gauss_newton_study.suites import Suite


def silent(epoch: int, row: Mapping[str, float]) -> None:
    """Hear nothing."""


@pytest.fixture(scope="module")
def record(suite: Suite) -> Record:
    experiment = suite.arms[0].experiment({"GN": 0.3}, suite.measuring, 1)
    return train(experiment, teacher_data(64, 8, 10, (48, 24, 24), 0), silent)


def test_a_run_comes_back_as_it_was(record: Record, suite: Suite, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    experiment = suite.arms[0].experiment({"GN": 0.3}, suite.measuring, 1)
    key = store.key(suite.data, "", experiment)
    assert not store.has(key)
    path = store.write(key, suite.data, "teacher", experiment, record, 2.5, "here")
    assert store.has(key)
    found = store.read(key)
    assert (found.learning_rates, found.seed, found.seconds) == ((0.3,), 1, 2.5)
    assert found.data_name == "teacher"
    for name, column in record.epochs.items():
        np.testing.assert_array_equal(found.epochs[name], column)
    for name, column in record.steps.items():
        np.testing.assert_array_equal(found.steps[name], column)
    assert found.grams is not None and record.grams is not None
    np.testing.assert_allclose(found.grams, record.grams.numpy(), rtol=1e-6)
    content = json.loads(path.read_text())
    assert content["machine"] == "here"
    assert content["experiment"]["phases"][0]["optimiser"]["name"] == "gn"
    assert set(content["seeds"]) == {"network", "order", "augmentation", "probes", "noise"}
    assert not list((tmp_path / "runs").glob("*.partial"))


def test_what_is_infinite_or_missing_survives(record: Record, suite: Suite, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    experiment = suite.arms[0].experiment({"GN": 0.3}, suite.measuring, 1)
    broken = replace(
        record, epochs={"epoch": [0.0, 1.0], "train_loss": [float("nan"), float("inf")]},
        grams=None, diverged=True,
    )  # fmt: skip
    store.write("some-key", suite.data, "teacher", experiment, broken, 1.0, "here")
    found = store.read("some-key")
    assert found.diverged and found.grams is None
    np.testing.assert_array_equal(found.epochs["train_loss"], [np.nan, np.inf])


def test_a_key_depends_on_everything(suite: Suite, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    arm = suite.arms[0]
    experiments = [
        arm.experiment({"GN": rate}, suite.measuring, seed)
        for rate in (0.1, 0.3)
        for seed in (0, 1)
    ]
    keys = {store.key(suite.data, "", experiment) for experiment in experiments}
    keys |= {
        store.key(replace(suite.data, label_noise=0.1), "", experiments[0]),
        store.key(suite.data, "another file", experiments[0]),
        store.key(suite.data, "", replace(experiments[0], batch_size=None)),
    }
    assert len(keys) == 7
    assert all(key.startswith("teacher-") for key in keys)
