from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from data.reporter import SilentReporter
from returns.event_set import EventSet
from returns.metrics import cross_entropy
from returns.models.mlp import ARRAYS, MLP


class LossRecorder(SilentReporter):
    """Keeps the losses of each epoch."""

    def __init__(self) -> None:
        self.losses: list[Mapping[str, float]] = []

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        assert step == len(self.losses)
        self.losses.append(values)


def test_the_weights_of_the_best_epoch_are_kept(train: EventSet, validation: EventSet) -> None:
    recorder = LossRecorder()
    model = MLP(epochs=60, hidden_width=128, dropout=0.0, learning_rate=0.02, batch_size=64)
    model.fit(train, validation, recorder)
    validation_losses = [losses["validation_cross_entropy"] for losses in recorder.losses]
    assert len(validation_losses) < 60
    assert min(validation_losses) < validation_losses[-1]
    assert len(validation_losses) - 1 - int(np.argmin(validation_losses)) == model.patience
    kept = cross_entropy(validation.labels, model.predict_proba(validation), validation.weights)
    assert kept == min(validation_losses)
    train_losses = [losses["train_cross_entropy"] for losses in recorder.losses]
    assert train_losses[-1] < train_losses[0]


def test_loading_draws_nothing(train: EventSet, validation: EventSet, tmp_path: Path) -> None:
    model = MLP(epochs=1, hidden_width=8)
    model.fit(train, validation, SilentReporter())
    model.save(tmp_path)
    state = torch.get_rng_state()
    MLP.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_that_do_not_fit_are_refused(
    train: EventSet, validation: EventSet, tmp_path: Path
) -> None:
    model = MLP(epochs=1, hidden_width=8)
    model.fit(train, validation, SilentReporter())
    model.save(tmp_path)
    weights = load_file(tmp_path / ARRAYS)
    save_file({**weights, "0.bias": torch.zeros(9)}, tmp_path / ARRAYS)
    with pytest.raises(RuntimeError, match="size mismatch"):
        MLP.load(tmp_path)


def test_each_hidden_layer_has_half_the_width_of_the_last(
    train: EventSet, validation: EventSet, tmp_path: Path
) -> None:
    model = MLP(epochs=1, hidden_width=16, hidden_layers=3)
    model.fit(train, validation, SilentReporter())
    model.save(tmp_path)
    weights = load_file(tmp_path / ARRAYS)
    shapes = [tuple(weight.shape) for weight in weights.values() if weight.ndim == 2]
    assert sorted(shapes)[:-1] == [(1, 4), (4, 8), (8, 16)]
    assert sorted(shapes)[-1][0] == 16
