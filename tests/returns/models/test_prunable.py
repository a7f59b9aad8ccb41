"""Both networks as pruning sees them."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit

from data.dataset import index_tables
from data.reporter import SilentReporter
from returns.models.gnn import GNN
from returns.models.linear import Logistic
from returns.models.mlp import MLP
from returns.models.prunable import Prunable
from returns.preparation import Preparation
from returns.protocol import Protocol


@pytest.fixture(params=[GNN(members=2, epochs=1, hidden=16, heads=4), MLP(epochs=2)])
def model(request):
    return copy.deepcopy(request.param)


@pytest.fixture
def sets(make_tables, model):
    dataset, _ = index_tables(make_tables())
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    sets = {part: preparation.event_set(dataset, part) for part in ("train", "validation")}
    model.fit(sets["train"], sets["validation"], SilentReporter())
    return sets


def test_fitted_networks_are_prunable_and_others_are_not(model, sets):
    assert isinstance(model, Prunable)
    assert not isinstance(Logistic(), Prunable)


def test_the_network_gives_the_models_log_odds_for_each_event_once(model, sets):
    log_odds = np.full(len(sets["validation"]), np.nan)
    network = model.network.eval()
    with torch.inference_mode():
        for inputs, rows in model.mini_batches(sets["validation"], 50):
            assert np.isnan(log_odds[rows]).all()
            log_odds[rows] = network(inputs).double().numpy()
    expected = model.predict_proba(sets["validation"])
    np.testing.assert_allclose(expit(log_odds), expected, rtol=1e-5)


def test_another_network_changes_the_model_but_not_the_first(model, sets, tmp_path):
    before = model.predict_proba(sets["validation"])
    network = copy.deepcopy(model.network)
    with torch.no_grad():
        for weight in network.parameters():
            weight.masked_fill_(weight.abs() < weight.abs().quantile(0.9), 0)
    other = model.with_network(network)
    pruned = other.predict_proba(sets["validation"])
    assert not np.allclose(pruned, before)
    assert np.array_equal(model.predict_proba(sets["validation"]), before)
    folders = [tmp_path / name for name in ("dense", "pruned")]
    for folder, each in zip(folders, (model, other), strict=True):
        folder.mkdir()
        each.save(folder)
    assert np.array_equal(type(model).load(folders[1]).predict_proba(sets["validation"]), pruned)
    sizes = [
        sum(path.stat().st_size for path in folder.glob("*.safetensors")) for folder in folders
    ]
    assert sizes[1] < sizes[0] / 3


def test_events_are_drawn_by_their_weights(model, sets):
    train = sets["train"]
    weights = np.where(train.labels == 1, 1.0, 0.25).astype(np.float32)
    weighted = replace(train, weights=weights)
    drawn = np.concatenate(
        [
            rows
            for seed in range(4)
            for _, rows in model.mini_batches(weighted, 100, np.random.default_rng(seed))
        ]
    )
    counts = np.bincount(drawn, minlength=len(train))
    assert counts.max() <= 4
    if model.name == "mlp" or next(model.mini_batches(train, 10))[0].group is None:
        # Single events: those of weight 1 always come, the others a quarter of the time.
        assert (counts[train.labels == 1] == 4).all()
        assert counts[train.labels == 0].mean() / 4 == pytest.approx(0.25, abs=0.04)
    else:
        assert counts[train.labels == 1].mean() > 1.5 * counts[train.labels == 0].mean()
    unweighted = replace(train, weights=np.ones(len(train), np.float32))
    everyone = [rows for _, rows in model.mini_batches(unweighted, 100, np.random.default_rng(0))]
    assert not np.array_equal(np.concatenate(everyone), np.arange(len(train)))
    assert np.array_equal(np.sort(np.concatenate(everyone)), np.arange(len(train)))
