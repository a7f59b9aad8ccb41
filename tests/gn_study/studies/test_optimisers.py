"""Optimisers from options: the right kind, its own options, one loop for all."""

from collections.abc import Callable

import pytest
import torch
from torch.optim import SGD, Adam

from gn_study.losses import CrossEntropy, SquareLoss
from gn_study.optimizers import ExactGN, MinNormGN
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.studies.configuration import OPTIMISERS, Experiment, OptimiserName, OptimiserOptions
from gn_study.studies.diagnosis import diagnosis
from gn_study.studies.evaluation import evaluate
from gn_study.studies.optimisers import create_loss, create_optimiser, diagnose, step
from gn_study.studies.seeds import Seeds
from gn_study.studies.study_data import StudyData
from gn_study.studies.training import create_network


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_step_of_any_optimiser_lowers_the_loss_of_its_batch(
    name: OptimiserName, teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    experiment = make_experiment(name)
    options = experiment.phases[0].optimiser
    model = create_network(experiment.network, teacher, Seeds.of(0), torch.device("cpu"))
    loss = create_loss(True, options)
    optimiser = create_optimiser(options, model, loss)
    batch = teacher.train.first(32)
    before = evaluate(model, batch).loss
    returned = step(model, optimiser, loss, batch.inputs, batch.targets)
    assert returned == pytest.approx(before, rel=1e-5)
    assert evaluate(model, batch).loss < before


def test_a_loss_that_is_not_finite_changes_no_weight(
    teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    experiment = make_experiment("adam")
    options = experiment.phases[0].optimiser
    model = create_network(experiment.network, teacher, Seeds.of(0), torch.device("cpu"))
    before = {name: value.clone() for name, value in model.trained_parameters().items()}
    loss = create_loss(True, options)
    optimiser = create_optimiser(options, model, loss)
    inputs = torch.full_like(teacher.train.inputs, torch.inf)
    with pytest.raises(FloatingPointError, match="not finite"):
        step(model, optimiser, loss, inputs, teacher.train.targets)
    for name, value in model.trained_parameters().items():
        assert torch.equal(value, before[name])


def test_options_reach_their_optimiser(
    teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    network = make_experiment().network
    model = create_network(network, teacher, Seeds.of(0), torch.device("cpu"))
    damped = PseudoInverse("damped")

    gn = create_optimiser(
        OptimiserOptions(
            "gn", 0.25, pseudo_inverse=damped, layer_weights=(0, 1), cross_term=False,
            weight_decay=0.5,
        ),
        model, CrossEntropy(),
    )  # fmt: skip
    assert isinstance(gn, ExactGN)
    assert (gn.pseudo_inverse, gn.layer_weights, gn.cross_term) == (damped, (0, 1), False)
    assert (gn.param_groups[0]["lr"], gn.param_groups[0]["weight_decay"]) == (0.25, 0.5)

    minimum = create_optimiser(
        OptimiserOptions("min_norm_gn", 0.1, pseudo_inverse=damped), model, SquareLoss()
    )
    assert isinstance(minimum, MinNormGN)
    assert minimum.pseudo_inverse == damped

    momentum = create_optimiser(
        OptimiserOptions("momentum", 0.1, momentum=0.7), model, SquareLoss()
    )
    plain = create_optimiser(OptimiserOptions("sgd", 0.1, momentum=0.7), model, SquareLoss())
    assert isinstance(momentum, SGD) and isinstance(plain, SGD)
    assert (momentum.param_groups[0]["momentum"], plain.param_groups[0]["momentum"]) == (0.7, 0)
    adam = create_optimiser(OptimiserOptions("adam", 0.1, weight_decay=0.2), model, SquareLoss())
    assert isinstance(adam, Adam)
    assert adam.param_groups[0]["weight_decay"] == 0.2


def test_the_loss_follows_task_and_curvature() -> None:
    assert create_loss(False, OptimiserOptions("gn", 1.0)) == SquareLoss()
    softmax = OptimiserOptions("gn", 1.0, curvature="softmax", curvature_damping=0.1)
    assert create_loss(True, softmax) == CrossEntropy("softmax", 0.1)


@pytest.mark.parametrize("name", ["gn", "min_norm_gn", "sgd"])
def test_diagnosis_tells_of_diagnosed_gauss_newton_steps_alone(
    name: OptimiserName, teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    experiment = make_experiment(name)
    options = experiment.phases[0].optimiser
    model = create_network(experiment.network, teacher, Seeds.of(0), torch.device("cpu"))
    loss = create_loss(True, options)
    optimiser = create_optimiser(options, model, loss)
    batch = teacher.train.first(16)
    assert diagnosis(optimiser) == {}
    diagnose(optimiser, True)
    step(model, optimiser, loss, batch.inputs, batch.targets)
    found = diagnosis(optimiser)
    if name == "sgd":
        assert found == {}
        return
    assert 0 < found["kept_share"] <= 1
    assert found["condition"] >= 1
    assert found["residual"] < 0.5
    # The realised change approaches the predicted one as steps become small; at 0.5 it is near.
    assert found["predicted_change"] < 0
    assert found["realised_change"] / found["predicted_change"] == pytest.approx(0.8, abs=0.3)
    assert ("tangent_growth" in found) == (name == "gn")
