"""Figures that compare arms seed by seed."""

from collections.abc import Callable

import numpy as np

from pipelines.gauss_newton_study.arms import ADAM, GN, LONG, SGD
from pipelines.gauss_newton_study.representations import pairwise_cka
from pipelines.gauss_newton_study.run_store import FinishedRun
from pipelines.gauss_newton_study.suite_result import (
    WHOLE,
    RunFigure,
    SuiteResult,
    at_end,
    mean_of_steps,
)

Figure = Callable[[SuiteResult], np.ndarray | None]
"""One number a seed; None where the suite lacks the arms or the measurement."""


def paired(result: SuiteResult, figure: RunFigure, *arms: str) -> np.ndarray | None:
    """One row per arm of its figure for each seed that all arms have finished.

    None where there is no such seed, or where nothing was measured.
    """
    seeds = result.common_seeds(*arms)
    if not seeds:
        return None
    values = np.stack([result.per_seed(arm, figure, seeds) for arm in arms])
    return None if np.isnan(values).any(axis=0).all() else values


def difference(more: str, less: str, figure: RunFigure) -> Figure:
    """A figure of one arm minus the same of another, seed by seed."""

    def compute(result: SuiteResult) -> np.ndarray | None:
        values = paired(result, figure, more, less)
        return None if values is None else values[0] - values[1]

    return compute


def at_equal_loss(more: str, less: str, column: str) -> Figure:
    """A column of one arm minus that of another, where both have learned equally much.

    Each is taken at the first epoch after which the training loss is no higher than the higher of
    the two arms' least training losses.
    """

    def compute(result: SuiteResult) -> np.ndarray | None:
        found = []
        for seed in result.common_seeds(more, less):
            runs = result.run(more, seed), result.run(less, seed)
            reached = max(float(run.epochs["train_loss"].min()) for run in runs)
            first, second = (_when_reached(run, column, reached) for run in runs)
            found.append(first - second)
        return np.array(found) if found and not np.isnan(found).all() else None

    return compute


def _when_reached(run: FinishedRun, column: str, loss: float) -> float:
    """The first measured value of a column at or after the epoch that reached a loss."""
    if column not in run.epochs:
        return np.nan
    since = int(np.argmax(run.epochs["train_loss"] <= loss))
    values = run.epochs[column][since:]
    values = values[~np.isnan(values)]
    return float(values[0]) if len(values) else np.nan


def log_ratio(more: str, less: str, column: str) -> Figure:
    """Natural logarithm of the ratio of two arms' losses at the end."""
    return difference(more, less, logarithm(at_end(column)))


def least_rival(figure: RunFigure) -> Figure:
    """The lower of SGD's and Adam's figures minus Gauss-Newton's: positive if GN is below both."""

    def compute(result: SuiteResult) -> np.ndarray | None:
        values = paired(result, figure, GN, SGD, ADAM)
        return None if values is None else values[1:].min(axis=0) - values[0]

    return compute


def logarithm(figure: RunFigure) -> RunFigure:
    """The natural logarithm of a figure."""

    def of_run(run: FinishedRun) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.log(figure(run)))

    return of_run


def mean_cka(run: FinishedRun) -> float:
    """CKA with the beginning at the end, mean over blocks; NaN where it was not measured."""
    columns = [values for name, values in run.epochs.items() if name.startswith("cka.")]
    return float(np.mean([values[-1] for values in columns])) if columns else np.nan


def later_blocks_first(result: SuiteResult) -> np.ndarray | None:
    """Adam: CKA of the first block minus that of the last."""
    seeds = result.common_seeds(ADAM)
    if not seeds:
        return None
    last = sum(name.startswith("cka.") for name in result.runs[ADAM][0].epochs) - 1
    if last < 1:
        return None
    first = result.per_seed(ADAM, at_end("cka.0"), seeds)
    departed: np.ndarray = first - result.per_seed(ADAM, at_end(f"cka.{last}"), seeds)
    return departed


def nearer_to_sgd(result: SuiteResult) -> np.ndarray | None:
    """CKA between GN and SGD minus that between GN and Adam, mean over blocks."""
    seeds = result.common_seeds(GN, SGD, ADAM)
    found = [
        pairwise_cka(result.run(GN, seed), result.run(SGD, seed))
        - pairwise_cka(result.run(GN, seed), result.run(ADAM, seed))
        for seed in seeds
    ]
    return None if np.isnan(found).all() else np.array(found)


def no_late_progress(result: SuiteResult) -> np.ndarray | None:
    """Long GN runs: log of the least training loss of the second half over that of the first."""
    seeds = result.common_seeds(GN + LONG)
    if not seeds:
        return None

    def figure(run: FinishedRun) -> float:
        loss = run.epochs["train_loss"]
        half = len(loss) // 2
        with np.errstate(divide="ignore"):
            return float(np.log(loss[half:].min() / loss[:half].min()))

    return result.per_seed(GN + LONG, figure, seeds)


def least_of_all(names: tuple[str, ...], prefix: str) -> Figure:
    """Least final training loss of several arms of Gauss-Newton over Adam's; logarithm.

    Args:
        names: Arms that count.
        prefix: So do all arms whose names begin like this; without any there is nothing to test.
    """

    def compute(result: SuiteResult) -> np.ndarray | None:
        family = [name for name in result.runs if name.startswith(prefix)]
        if not family:
            return None
        values = paired(result, logarithm(at_end("train_loss")), *names, *family, ADAM)
        return None if values is None else values[:-1].min(axis=0) - values[-1]

    return compute


def gap_of_updates(run: FinishedRun) -> float:
    """Change of another batch minus that of the same one, percentage points, all updates."""
    return mean_of_steps("other", *WHOLE)(run) - mean_of_steps("same", *WHOLE)(run)
