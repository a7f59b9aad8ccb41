"""What the runs of a suite showed, ready for figures and claims."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipelines.gauss_newton_study.run_store import FinishedRun
from pipelines.gauss_newton_study.suites import Suite

RunFigure = Callable[[FinishedRun], float]
"""One number of a run."""

EARLY, LATE, WHOLE = (0.0, 1 / 6), (2 / 3, 1.0), (0.0, 1.0)
"""Shares of the training: its first sixth, its last third, all of it."""


@dataclass(frozen=True)
class SuiteResult:
    """Finished runs of a suite.

    Attributes:
        suite: What was run.
        trials: Per tuned arm the final validation loss at each learning rate on trial.
        chosen: Per tuned arm the learning rate chosen.
        runs: Per arm its finished runs, in the order of their seeds.
    """

    suite: Suite
    trials: Mapping[str, Mapping[float, float]]
    chosen: Mapping[str, float]
    runs: Mapping[str, Sequence[FinishedRun]]

    @cached_property
    def data_name(self) -> str:
        """What the data are called."""
        names = [run.data_name for runs in self.runs.values() for run in runs]
        return names[0] if names else self.suite.data.title

    def has(self, *arms: str) -> bool:
        """Whether all of some arms have finished runs."""
        return all(self.runs.get(arm) for arm in arms)

    def common_seeds(self, *arms: str) -> list[int]:
        """Seeds with which all of some arms have finished, ascending."""
        finished = [{run.seed for run in self.runs.get(arm, ())} for arm in arms]
        return sorted(set.intersection(*finished))

    def run(self, arm: str, seed: int) -> FinishedRun:
        """An arm's finished run with a seed."""
        return next(run for run in self.runs[arm] if run.seed == seed)

    def per_seed(
        self, arm: str, figure: RunFigure, seeds: Sequence[int] | None = None
    ) -> np.ndarray:
        """One figure of each run of an arm, or of those with some seeds, `(num_runs,)`."""
        if seeds is None:
            return np.array([figure(run) for run in self.runs[arm]])
        return np.array([figure(self.run(arm, seed)) for seed in seeds])

    def at_edge(self, arm: str) -> bool:
        """Whether an arm's chosen learning rate is the smallest or largest that was tried."""
        return self.chosen[arm] in (min(self.trials[arm]), max(self.trials[arm]))


def at_end(column: str) -> RunFigure:
    """A column's value after the last epoch; a loss is infinite where training diverged."""

    def figure(run: FinishedRun) -> float:
        if run.diverged:
            return np.inf if column.endswith("loss") else np.nan
        values = run.epochs.get(column)
        return np.nan if values is None else float(values[-1])

    return figure


def after_epoch(column: str, epoch: int) -> RunFigure:
    """A column's value after an epoch."""

    def figure(run: FinishedRun) -> float:
        values = run.epochs.get(column, np.empty(0))
        return float(values[epoch]) if epoch < len(values) else np.nan

    return figure


def mean_of_steps(column: str, start: float, end: float) -> RunFigure:
    """Mean of a step column over a share of the training, from `start` to `end`, both included."""

    def figure(run: FinishedRun) -> float:
        values = run.steps.get(column)
        if values is None:
            return np.nan
        share = run.steps["epoch"] / run.epochs["epoch"][-1]
        chosen = values[(share >= start) & (share <= end)]
        chosen = chosen[~np.isnan(chosen)]
        return float(chosen.mean()) if len(chosen) else np.nan

    return figure


def mean_log(column: str) -> RunFigure:
    """Mean natural logarithm of a loss over all epochs after training began: its speed."""

    def figure(run: FinishedRun) -> float:
        with np.errstate(divide="ignore"):
            return float(np.log(run.epochs[column][1:]).mean())

    return figure
