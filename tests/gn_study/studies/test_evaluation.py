"""Scores against closed forms."""

import pytest
import torch

from gn_study.revmlp import RevMLP
from gn_study.studies.evaluation import evaluate
from gn_study.studies.study_data import Part


@pytest.fixture
def identity() -> RevMLP:
    """A network whose outputs are its inputs."""
    model = RevMLP(4, num_blocks=1, hidden=3, outputs=None, init_std=1e-3, rebuild=False)
    with torch.no_grad():
        for tensor in model.trained_parameters().values():
            tensor.zero_()
    return model


def test_uniform_logits_cost_the_log_of_their_number(identity: RevMLP) -> None:
    part = Part(torch.zeros(6, 4), torch.tensor([0, 0, 0, 1, 2, 3]))
    score = evaluate(identity, part)
    assert score.loss == pytest.approx(torch.log(torch.tensor(4.0)).item(), abs=1e-7)
    assert score.accuracy == pytest.approx(0.5)


def test_regression_gives_half_the_squared_distance_and_r_squared(identity: RevMLP) -> None:
    targets = torch.tensor([[0.0, 0, 0, 0], [2.0, 0, 0, 0]])
    score = evaluate(identity, Part(targets + torch.tensor([1.0, 0, 0, 0]), targets))
    assert score.loss == pytest.approx(0.5)
    assert score.accuracy == pytest.approx(0.0)
    assert evaluate(identity, Part(targets, targets)).accuracy == pytest.approx(1.0)


def test_samples_are_evaluated_in_chunks_alike(
    identity: RevMLP, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Part(torch.randn(10, 4), torch.randint(0, 4, (10,)))
    whole = evaluate(identity, part)
    monkeypatch.setattr("gn_study.studies.evaluation.SAMPLES_AT_ONCE", 3)
    assert evaluate(identity, part).loss == pytest.approx(whole.loss, abs=1e-12)
