"""A sweep that runs, is cut short, and goes on."""

from collections.abc import Callable
from dataclasses import replace

import mlflow
import numpy as np
import pytest

from gn_study.studies import training
from pipelines.gauss_newton_study import sweep as sweep_module
from pipelines.gauss_newton_study.arms import ADAM, GN, SGD
from pipelines.gauss_newton_study.run_table import run_table, trial_table
from pipelines.gauss_newton_study.suite_result import SuiteResult
from pipelines.gauss_newton_study.suites import Suite
from pipelines.gauss_newton_study.sweep import SuiteSweep

MakeSweep = Callable[[Suite], SuiteSweep]


def assert_equal_results(first: SuiteResult, second: SuiteResult) -> None:
    assert first.chosen == second.chosen
    assert first.trials == second.trials
    for arm, runs in first.runs.items():
        for one, other in zip(runs, second.runs[arm], strict=True):
            np.testing.assert_array_equal(one.epochs["test_loss"], other.epochs["test_loss"])


def test_a_sweep_tunes_runs_every_seed_and_then_has_nothing_to_do(
    suite: Suite, make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = make_sweep(suite).run()
    assert set(result.runs) == {GN, SGD, ADAM}
    assert all([run.seed for run in runs] == [0, 1] for runs in result.runs.values())
    for arm in suite.arms:
        losses = result.trials[arm.name]
        assert set(losses) == set(arm.rates)
        assert losses[result.chosen[arm.name]] == min(losses.values())
        assert result.runs[arm.name][0].learning_rates == (result.chosen[arm.name],)
    assert len(run_table([result])) == 6
    trials = trial_table([result])
    assert len(trials) == 6 and trials["chosen"].sum() == 3

    def fail(*arguments: object) -> None:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr(sweep_module, "train", fail)
    assert_equal_results(make_sweep(suite).run(), result)


def test_a_sweep_cut_short_goes_on_where_it_was(
    suite: Suite, make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def interrupted(*arguments: object) -> object:
        if len(done) == 8:
            raise KeyboardInterrupt
        done.append(arguments)
        return training.train(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sweep_module, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_sweep(suite).run()
    partial = make_sweep(suite).result()
    assert sum(len(runs) for runs in partial.runs.values()) == 2
    done.clear()
    result = make_sweep(suite).run()
    assert len(done) == 4
    assert sum(len(runs) for runs in result.runs.values()) == 6


def test_a_parent_a_sweep_and_a_child_a_seed(suite: Suite, make_sweep: MakeSweep) -> None:
    make_sweep(replace(suite, name="tracked", arms=suite.arms[:1])).run()
    runs = mlflow.search_runs(
        experiment_names=["gauss_newton"], filter_string="tags.suite = 'tracked'",
        output_format="list",
    )  # fmt: skip
    kinds = {run.info.run_name: run.data.tags["kind"] for run in runs}
    assert kinds == {"tracked": "sweep", "GN seed 0": "run", "GN seed 1": "run"}
    parent = next(run for run in runs if run.info.run_name == "tracked")
    child = next(run for run in runs if run.info.run_name == "GN seed 1")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params["phases.0.optimiser.name"] == "gn"
    assert child.data.params["seed"] == "1"
    assert "test_loss" in child.data.metrics and "fit/train_loss" in child.data.metrics


def test_nothing_done_is_an_empty_result(suite: Suite, make_sweep: MakeSweep) -> None:
    result = make_sweep(suite).result()
    assert result.runs == {} and result.chosen == {} and result.trials == {}
    assert run_table([result]).empty
