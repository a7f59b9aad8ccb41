"""Comparison with the beginning: nothing has changed, then one thing has."""

from collections.abc import Callable

import pytest
import torch

from gn_study.kernel import output_kernel
from gn_study.measures.alignment import alignment
from gn_study.measures.cka import gram, linear_cka
from gn_study.revmlp import RevMLP
from gn_study.studies.configuration import Experiment, MeasuringOptions
from gn_study.studies.probing import Probe
from gn_study.studies.seeds import Seeds
from gn_study.studies.study_data import StudyData
from gn_study.studies.training import create_network

EVERYTHING = MeasuringOptions(
    kernel_samples=10, kernel_every=1, estimator_probes=100, representation_samples=20
)


@pytest.fixture
def model(teacher: StudyData, make_experiment: Callable[..., Experiment]) -> RevMLP:
    return create_network(make_experiment().network, teacher, Seeds.of(0), torch.device("cpu"))


def perturb(model: RevMLP) -> None:
    with torch.no_grad():
        for tensor in model.trained_parameters().values():
            tensor.add_(0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(7)))


def test_nothing_has_changed_at_the_beginning(model: RevMLP, teacher: StudyData) -> None:
    found = Probe(model, teacher, EVERYTHING, Seeds.of(0)).compare(0)
    for name in ("ntk_similarity", "ntk_similarity_estimate", "cka.0", "cka.1", "weight_cosine"):
        assert found[name] == pytest.approx(1, abs=1e-6)
    assert found["ntk_velocity"] == pytest.approx(0, abs=1e-6)
    assert found["weight_relative"] == 0
    assert found["weight_norm_ratio"] == pytest.approx(1)


def test_figures_are_those_of_the_two_networks(model: RevMLP, teacher: StudyData) -> None:
    probe = Probe(model, teacher, EVERYTHING, Seeds.of(0))
    kernel_inputs = teacher.validation.inputs[:10]
    with torch.no_grad():
        kernel = output_kernel(model, kernel_inputs)
        state = model.states(teacher.validation.inputs[:20])[2]
    perturb(model)
    found = probe.compare(1)
    exact = alignment(kernel, output_kernel(model, kernel_inputs))
    assert found["ntk_similarity"] == pytest.approx(exact, abs=1e-12)
    assert exact < 0.99
    assert found["ntk_velocity"] == pytest.approx(1 - exact, abs=1e-12)
    assert found["ntk_similarity_estimate"] == pytest.approx(exact, abs=0.1)
    with torch.no_grad():
        now = model.states(teacher.validation.inputs[:20])[2]
    assert found["cka.1"] == pytest.approx(linear_cka(gram(state), gram(now)), abs=1e-9)
    names = {name for name in found if name.startswith("weight_cosine.")}
    assert names == {f"weight_cosine.{half}" for half in model.half_layers()}
    # Since the last comparison nothing has changed.
    assert probe.compare(2)["ntk_velocity"] == pytest.approx(0, abs=1e-9)


def test_the_kernel_is_taken_in_its_turn_or_never(model: RevMLP, teacher: StudyData) -> None:
    every_second = MeasuringOptions(kernel_samples=4, kernel_every=2, representation_samples=0)
    probe = Probe(model, teacher, every_second, Seeds.of(0))
    assert "ntk_similarity" in probe.compare(2)
    assert "ntk_similarity" not in probe.compare(3)
    assert probe.grams() is None
    never = MeasuringOptions(kernel_samples=0, representation_samples=0)
    assert "ntk_similarity" not in Probe(model, teacher, never, Seeds.of(0)).compare(0)
