import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from data.dataset import index_tables
from data.reporter import SilentReporter
from returns.models.sage import SAGE
from returns.preparation import Preparation
from returns.protocol import Protocol


@pytest.fixture(params=list(Protocol))
def sets(request, make_tables):
    dataset, _ = index_tables(make_tables(number=3000))
    preparation = Preparation.fit(dataset, request.param)
    return [preparation.event_set(dataset, split) for split in ("train", "validation", "test")]


def test_a_saved_model_scores_the_same_to_the_last_bit(sets, tmp_path):
    train, validation, test = sets
    model = SAGE(seed=1, epochs=3)
    model.fit(train, validation, SilentReporter())
    model.save(tmp_path)
    assert np.array_equal(model.predict_proba(test), SAGE.load(tmp_path).predict_proba(test))


def test_a_seed_fixes_the_model_and_touches_no_global_generator(sets):
    train, validation, test = sets
    state = torch.random.get_rng_state()
    probabilities = []
    for seed in (1, 1, 2):
        model = SAGE(seed=seed, epochs=2)
        model.fit(train, validation, SilentReporter())
        probabilities.append(model.predict_proba(test))
    assert np.array_equal(probabilities[0], probabilities[1])
    assert not np.array_equal(probabilities[0], probabilities[2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_it_learns_who_returns_from_the_graph(make_tables):
    """The labels depend on customer and variant alone, which only history and graph tell."""
    dataset, _ = index_tables(make_tables(number=6000))
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    train, validation, test = (
        preparation.event_set(dataset, split) for split in ("train", "validation", "test")
    )
    model = SAGE(epochs=40)
    model.fit(train, validation, SilentReporter())
    probability = model.predict_proba(test)
    assert roc_auc_score(test.labels, probability) > 0.72
    base = np.full(len(test), train.labels.mean())
    assert log_loss(test.labels, probability) < log_loss(test.labels, base) - 0.05


def test_the_best_validation_weights_are_kept(sets):
    train, validation, _ = sets

    class Recorder(SilentReporter):
        def __init__(self) -> None:
            self.losses: list[float] = []

        def metrics(self, values, step):
            self.losses.append(values["validation_cross_entropy"])

    recorder = Recorder()
    model = SAGE(epochs=8, learning_rate=0.1)
    model.fit(train, validation, recorder)
    probability = np.clip(model.predict_proba(validation), 1e-7, 1 - 1e-7)
    loss = log_loss(validation.labels, probability, sample_weight=validation.weights)
    assert loss == pytest.approx(min(recorder.losses), rel=1e-4)
    assert len(recorder.losses) <= 8


def test_an_unfitted_model_says_so(sets):
    with pytest.raises(ValueError, match="not fitted"):
        SAGE().predict_proba(sets[0])
