"""Measurement of a small synthetic study."""

from dataclasses import dataclass, replace

import pytest
import torch
from rich.console import Console
from torch import nn

from compression.likelihoods import Categorical
from compression.studies.methods import Grid
from compression.studies.pruning import Subject
from pipelines.compression_study import measuring
from pipelines.compression_study.cells import CellStore
from pipelines.compression_study.measuring import Measurement, Plan
from pipelines.progress import ProgressReporter, progress_display

GRID = Grid(
    dampings=(1e-3, 1e-1),
    samples=((20, 2),),
    exact_samples=((20, 2),),
    temperatures=(2.0,),
    steps=5,
    metric_steps=5,
)
PLAN = Plan(("magnitude", "chita"), (0.5, 0.8), (1, 3), (0, 1), GRID, GRID)


@dataclass(frozen=True)
class SmallStudy:
    network: nn.Module
    inputs: torch.Tensor
    targets: torch.Tensor
    described: dict
    chosen_by: str = "held_out_accuracy"

    def subject(self, seed):
        order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
        batches = zip(self.inputs[order].split(20), self.targets[order].split(20), strict=True)
        return Subject(self.network, Categorical(), list(batches))

    def for_choice(self):
        return self

    def figures(self, pruned):
        correct = pruned.network(self.inputs).argmax(dim=1) == self.targets
        half = len(correct) // 2
        return {
            "held_out_accuracy": correct[:half].double().mean().item(),
            "test_accuracy": correct[half:].double().mean().item(),
        }


@pytest.fixture
def study():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 4))
    inputs = torch.randn(60, 6)
    return SmallStudy(network.eval(), inputs, inputs[:, :4].argmax(dim=1), {"name": "small"})


@pytest.fixture
def reporter(tmp_path):
    with (tmp_path / "said").open("w") as said, progress_display(Console(file=said)) as progress:
        yield ProgressReporter(progress)


@pytest.fixture
def counted(monkeypatch):
    """Every prunings' method, setting, sparsity and seed."""
    calls = []
    prune = measuring._prune

    def counting(subject, keys):
        for key, pruned in prune(subject, keys):
            calls.append((key.method, key.setting, key.stages, key.sparsity, key.seed))
            yield key, pruned

    monkeypatch.setattr(measuring, "_prune", counting)
    return calls


def rows(study, plan, tmp_path, reporter):
    return list(Measurement(study, plan, CellStore(tmp_path / "cells"), reporter).rows())


def test_every_method_stage_and_sparsity_has_a_row_with_every_seed(study, tmp_path, reporter):
    found = rows(study, PLAN, tmp_path, reporter)
    names = [(row.method, row.stages, row.sparsity) for row in found]
    expected = [(m, n, s) for n in PLAN.stages for m in PLAN.methods for s in PLAN.sparsities]
    assert names == expected
    assert all([cell.key.seed for cell in row.cells] == [0, 1] for row in found)


def test_the_chosen_setting_is_the_best_on_held_out_data(study, tmp_path, reporter):
    found = rows(study, PLAN, tmp_path, reporter)
    store = CellStore(tmp_path / "cells")
    for row in found:
        if row.method == "magnitude":
            continue
        tried = [
            store.find(replace(row.cells[0].key, setting=setting))
            for setting in GRID.gradient_settings()
        ]
        best = max(cell.figures["held_out_accuracy"] for cell in tried)
        assert row.cells[0].figures["held_out_accuracy"] == best


def test_settings_of_stages_may_be_chosen_by_what_they_give_at_once(
    study, tmp_path, reporter, counted
):
    plan = replace(PLAN, methods=("chita",), stages=(3,), seeds=(0,), choose_at_once=True)
    found = rows(study, plan, tmp_path, reporter)
    assert [row.stages for row in found] == [3, 3]
    tried = [setting for _, setting, stages, _, _ in counted if stages == 1]
    assert set(tried) == set(GRID.gradient_settings())
    chosen = {(row.setting, row.sparsity) for row in found}
    assert {(s, p) for _, s, stages, p, _ in counted if stages == 3} == chosen


def test_a_second_run_measures_nothing(study, tmp_path, reporter, counted):
    first = rows(study, PLAN, tmp_path, reporter)
    number = len(counted)
    assert rows(study, PLAN, tmp_path, reporter) == first
    assert len(counted) == number


def test_a_killed_run_goes_on_where_it_was(study, tmp_path, reporter, counted, monkeypatch):
    rows(study, PLAN, tmp_path / "whole", reporter)
    whole = list(counted)
    counted.clear()
    keep = CellStore.keep

    def killed_at_the_fifth(self, cell):
        if len(counted) == 5:
            raise KeyboardInterrupt
        keep(self, cell)

    monkeypatch.setattr(CellStore, "keep", killed_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        rows(study, PLAN, tmp_path, reporter)
    monkeypatch.setattr(CellStore, "keep", keep)
    rows(study, PLAN, tmp_path, reporter)
    assert counted[:5] == whole[:5]
    assert counted[5:] == whole[4:]


def test_a_setting_that_diverges_is_kept_as_such_and_not_chosen(
    study, tmp_path, reporter, monkeypatch
):
    fit = measuring.FittedOnce

    def diverges_with_little_damping(subject, method, setting, seed):
        if setting.damping == 1e-3:
            raise measuring.DivergedError("a synthetic failure")
        return fit(subject, method, setting, seed)

    monkeypatch.setattr(measuring, "FittedOnce", diverges_with_little_damping)
    plan = replace(PLAN, methods=("chita",), stages=(1,))
    found = rows(study, plan, tmp_path, reporter)
    assert {row.setting.damping for row in found} == {1e-1}
    assert len(list((tmp_path / "cells").iterdir())) == 2 * 2 + 2


def test_a_method_that_diverges_with_every_setting_has_no_row(
    study, tmp_path, reporter, monkeypatch
):
    def diverges(subject, method, setting, seed):
        raise measuring.DivergedError("a synthetic failure")

    monkeypatch.setattr(measuring, "FittedOnce", diverges)
    plan = replace(PLAN, methods=("chita",), stages=(1,))
    assert rows(study, plan, tmp_path, reporter) == []


def test_settings_are_chosen_by_the_study_for_choice(study, tmp_path, reporter):
    @dataclass(frozen=True)
    class Slow(SmallStudy):
        part: str = "final"

        def for_choice(self):
            return replace(self, part="choice", described={"name": "choice"})

        def figures(self, pruned):
            figures = super().figures(pruned)
            return {"held_out_accuracy": figures["held_out_accuracy"]} | (
                figures if self.part == "final" else {}
            )

    slow = Slow(study.network, study.inputs, study.targets, {"name": "final"})
    found = rows(slow, replace(PLAN, stages=(1,)), tmp_path, reporter)
    assert all("test_accuracy" in cell.figures for row in found for cell in row.cells)
    assert [row.setting for row in found] == [
        row.setting for row in rows(study, replace(PLAN, stages=(1,)), tmp_path / "2", reporter)
    ]
