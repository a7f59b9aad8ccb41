"""Training runs: recorded, repeatable, and what each optimiser is for."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from gn_study.studies.configuration import OPTIMISERS, Experiment, OptimiserName, Phase
from gn_study.studies.record import Record
from gn_study.studies.study_data import Part, StudyData
from gn_study.studies.training import train


def silent(epoch: int, row: Mapping[str, float]) -> None:
    """Hear nothing."""


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_trains_and_is_recorded(
    name: OptimiserName, teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    heard: list[int] = []
    experiment = make_experiment(name, epochs=3)
    record = train(experiment, teacher, lambda epoch, row: heard.append(epoch))
    assert heard == [0, 1, 2, 3]
    assert record.epochs["epoch"] == [0.0, 1.0, 2.0, 3.0]
    assert record.epochs["train_loss"][-1] < record.epochs["train_loss"][0]
    assert not record.diverged
    # Three batches an epoch, every second update measured.
    assert record.steps["step"] == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert record.steps["epoch"][1] == pytest.approx(2 / 3)
    for column in ("same", "other", "held_out"):
        assert np.isfinite(record.steps[column]).all()
    assert np.mean(record.steps["same"]) < 0
    assert ("residual" in record.steps) == (name in ("gn", "min_norm_gn"))
    assert record.grams is not None and record.grams.shape == (2, 16, 16)
    assert record.num_parameters == 4 * (8 * 48 + 8)


def test_runs_repeat_with_their_seed_alone(
    teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    first, again, other = (
        train(make_experiment("adam", seed=seed), teacher, silent) for seed in (1, 1, 2)
    )
    assert first.epochs["test_loss"] == again.epochs["test_loss"]
    assert first.epochs["test_loss"] != other.epochs["test_loss"]
    assert first.seeds == again.seeds != other.seeds


def test_same_seed_begins_alike_for_all_optimisers(
    teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    beginnings = {
        train(make_experiment(name, epochs=0), teacher, silent).epochs["train_loss"][0]
        for name in OPTIMISERS
    }
    assert len(beginnings) == 1


def test_gauss_newton_is_faster_than_sgd_on_a_full_batch(
    teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    small = replace(teacher, train=teacher.train.first(32))

    def last(name: OptimiserName) -> Record:
        return train(make_experiment(name, epochs=25, batch_size=None), small, silent)

    gn, sgd = last("gn"), last("sgd")
    assert gn.epochs["train_loss"][-1] < 0.3 * sgd.epochs["train_loss"][-1]
    assert np.isnan(gn.steps["other"]).all()
    # What truncation at 1 % leaves of the batch's error, in a bottleneck little wider than it.
    assert max(gn.steps["residual"]) < 0.5


def test_an_update_fits_its_own_batch_more_than_another(
    teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    record = train(make_experiment("gn", epochs=4, batch_size=16), teacher, silent)
    assert np.mean(record.steps["same"]) < np.mean(record.steps["other"]) - 5


def test_a_run_that_diverges_says_so_and_stops(
    teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    with np.errstate(all="ignore"):
        record = train(make_experiment("sgd", epochs=30, rate=1e6), teacher, silent)
    assert record.diverged
    assert record.grams is None
    assert record.epochs["test_loss"][-1] == np.inf
    assert len(record.epochs["epoch"]) < 31
    assert np.isfinite(record.epochs["train_loss"][:-1]).all()


def test_phases_follow_each_other_on_the_same_network(
    teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    first = make_experiment("gn", epochs=2)
    optimiser = make_experiment("adam").phases[0].optimiser
    both = replace(first, phases=(*first.phases, Phase(optimiser, 2)))
    alone, switched = train(first, teacher, silent), train(both, teacher, silent)
    assert switched.epochs["train_loss"][:3] == alone.epochs["train_loss"]
    assert len(switched.epochs["epoch"]) == 5
    # Adam's updates have no residual.
    assert np.isnan(switched.steps["residual"][-1])


def test_regression_trains_by_the_same_loop(make_experiment: Callable[..., Experiment]) -> None:
    inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    part = Part(inputs, inputs[:, :1] - 0.5 * inputs[:, 1:2].square())
    data = StudyData("squares", part, part, part, 1)
    record = train(make_experiment("gn", epochs=5, batch_size=32), data, silent)
    assert record.epochs["train_accuracy"][-1] > 0.5


def test_unmeasured_runs_record_losses_alone(
    teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    experiment = make_experiment("sgd")
    nothing = replace(
        experiment.measuring, steps_every=0, kernel_samples=0, representation_samples=0
    )
    record = train(replace(experiment, measuring=nothing), teacher, silent)
    assert record.steps == {}
    assert record.grams is None
    assert not any(name.startswith(("ntk", "cka")) for name in record.epochs)


def test_parts_that_are_not_asked_for_are_not_seen(
    teacher: StudyData, make_experiment: Callable[..., Experiment]
) -> None:
    experiment = make_experiment("sgd")
    options = replace(experiment.measuring, parts=("validation",))
    record = train(replace(experiment, measuring=options), teacher, silent)
    assert {name for name in record.epochs if name.endswith("_loss")} == {"validation_loss"}
    diverging = replace(make_experiment("sgd", epochs=30, rate=1e6), measuring=options)
    assert train(diverging, teacher, silent).diverged
