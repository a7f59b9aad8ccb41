"""One row per run, small enough to be kept beside the report when the runs themselves are gone."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipelines.gauss_newton_study.run_store import FinishedRun
from pipelines.gauss_newton_study.suite_result import (
    EARLY,
    LATE,
    WHOLE,
    SuiteResult,
    at_end,
    mean_of_steps,
)

FINAL = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "test_loss",
    "test_accuracy",
    "ntk_similarity",
    "weight_cosine",
    "weight_relative",
    "step_seconds",
)
"""Columns of epochs whose last value is kept."""

DIAGNOSED = ("residual", "kept_share", "condition", "tangent_growth")
"""Columns of steps whose mean is kept."""


def run_table(results: Sequence[SuiteResult]) -> pd.DataFrame:
    """All reported runs of some suites."""
    rows = [
        _row(result, arm, run)
        for result in results
        for arm, runs in result.runs.items()
        for run in runs
    ]
    return pd.DataFrame(rows)


def trial_table(results: Sequence[SuiteResult]) -> pd.DataFrame:
    """All trials of learning rates of some suites."""
    rows = [
        {
            "suite": result.suite.name,
            "arm": arm,
            "learning_rate": rate,
            "validation_loss": loss,
            "chosen": rate == result.chosen.get(arm),
        }
        for result in results
        for arm, trials in result.trials.items()
        for rate, loss in trials.items()
    ]
    return pd.DataFrame(rows)


def _row(result: SuiteResult, arm: str, run: FinishedRun) -> dict[str, object]:
    row: dict[str, object] = {
        "suite": result.suite.name,
        "data": run.data_name,
        "arm": arm,
        "seed": run.seed,
        "learning_rates": " ".join(f"{rate:g}" for rate in run.learning_rates),
        "epochs": int(run.epochs["epoch"][-1]),
        "parameters": run.num_parameters,
        "diverged": run.diverged,
        "seconds": round(run.seconds, 1),
    }
    row |= {name: at_end(name)(run) for name in FINAL}
    blocks = sorted(name for name in run.epochs if name.startswith("cka."))
    row |= {f"{name}_end": at_end(name)(run) for name in blocks}
    for name in ("same", "other", "held_out"):
        row[f"{name}_early"] = mean_of_steps(name, *EARLY)(run)
        row[f"{name}_late"] = mean_of_steps(name, *LATE)(run)
    row |= {name: mean_of_steps(name, *WHOLE)(run) for name in DIAGNOSED}
    return {name: _rounded(value) for name, value in row.items()}


def _rounded(value: object) -> object:
    if isinstance(value, float) and np.isfinite(value):
        return float(f"{value:.5g}")
    return value
