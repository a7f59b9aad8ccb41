"""Chooses which pruned network becomes a model, and logs it as one."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from compression.parameters import collect_parameters
from compression.studies.methods import METHODS, Setting
from compression.studies.pruning import Pruned, prune_in_stages
from pipelines import tracking
from pipelines.compression_study.predictor import MEASURED, PredictorStudy
from pipelines.compression_study.served_costs import ROWS, scoring_milliseconds, stored_bytes
from returns.predictor import ReturnPredictor

TOLERANCE = 0.002
"""A pruned network may be worse than the dense one by so much, in F1 and in nats."""


def chosen_row(frames: Sequence[pd.DataFrame], dense: Mapping[str, float]) -> dict[str, Any]:
    """The sparsest network that is hardly worse than the dense one on the validation events.

    Args:
        frames: As `table.as_frame` gives them; rows with figures.
        dense: The dense network's figures.

    Returns:
        Its row by column, and as `frame` the number of its frame; of several the likeliest, and the
        likeliest of all where each is worse by more than `TOLERANCE`.
    """
    rows: list[dict[str, Any]] = []
    for number, frame in enumerate(frames):
        rows += frame.assign(frame=number).to_dict("records")  # type: ignore[arg-type]
    close = [row for row in rows if _is_close(row, dense)]
    if close:
        sparsest = max(row["sparsity"] for row in close)
        rows = [row for row in close if row["sparsity"] == sparsest]
    return max(rows, key=lambda row: float(row["validation_log_likelihood"]))


def _is_close(row: Mapping[str, Any], dense: Mapping[str, float]) -> bool:
    """Whether a row's validation figures are no worse than the dense ones by `TOLERANCE`."""
    gain = {
        name: float(row[f"validation_{name}"] - dense[f"validation_{name}"]) for name in MEASURED
    }
    gain["cross_entropy"] *= -1
    return min(gain.values()) >= -TOLERANCE


def prune_again(study: PredictorStudy, row: Mapping[str, Any], seed: int) -> Pruned:
    """The network of a row of the table; a seed gives the same network again."""
    setting = Setting(
        damping=float(row["damping"]),
        num_gradients=int(row["num_gradients"]),
        group=int(row["group"]),
        temperature=float(row["temperature"]),
        steps=int(row["steps"]),
    )
    subject, method = study.subject(seed), METHODS[str(row["method"])]
    sparsity, stages = float(row["sparsity"]), int(row["stages"])
    return prune_in_stages(subject, method, setting, sparsity, stages, seed)


def log_pruned(
    study: PredictorStudy,
    row: Mapping[str, Any],
    seed: int,
    tags: Mapping[str, str],
    console: Console,
) -> str:
    """Prune once more, and log the predictor with what it takes, as a run of its own.

    Args:
        study: What was pruned.
        row: Of the table.
        seed: Of the pruning.
        tags: Of the run.
        console: Told of the result.

    Returns:
        URI of the logged model.

    Raises:
        RuntimeError: The logged model scores otherwise than the one in memory.
    """
    parameters = _parameters(study, row, seed)
    name = f"{study.trained.name} pruned to {row['sparsity']:.0%}"
    with tracking.run(name, parameters, tags):
        pruned = prune_again(study, row, seed)
        prunable = collect_parameters(pruned.network).num_prunable
        tracking.log_metrics({"prunable_weights": prunable, "sparsity": pruned.sparsity})
        tracking.log_metrics(study.figures(pruned))
        predictor = study.predictor(pruned.network)
        costs = _costs(study.trained.predictor, predictor, study)
        tracking.log_table(costs, "costs")
        tracking.log_metrics(
            {
                f"{what}/{of}": number
                for of, column in costs.items()
                for what, number in column.items()
            }
        )
        uri = _logged(predictor, parameters, study)
    console.print(costs.to_string(float_format=lambda value: f"{value:,.1f}"), markup=False)
    console.print(f"pruned to {row['sparsity']:.0%} by {row['method']}: {uri}", soft_wrap=True)
    return uri


def _parameters(study: PredictorStudy, row: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """How a network was pruned, and what whoever prunes it again must know of its training."""
    chosen = ("method", "stages", "sparsity", *(field.name for field in fields(Setting)))
    return {
        "pruned_from": study.trained.uri,
        **{name: row[name] for name in chosen},
        "fine_tuning": study.fine_tuning,
        "seed": seed,
        "refit": study.trained.learned_validation,
        "costs": study.trained.origin.parameters.get("costs"),
    }


def _costs(dense: ReturnPredictor, pruned: ReturnPredictor, study: PredictorStudy) -> pd.DataFrame:
    """Bytes and processor time, in rows, of the dense and the pruned predictor, in columns."""
    predictors = {"dense": dense, "pruned": pruned}
    times = scoring_milliseconds(predictors, study.trained.test.events)
    return pd.DataFrame(
        {
            name: {f"bytes of {part}": float(size) for part, size in stored_bytes(each).items()}
            | {
                "CPU ms a basket": times[name]["basket"],
                f"CPU ms for {ROWS} rows": times[name]["rows"],
            }
            for name, each in predictors.items()
        }
    )


def _logged(
    predictor: ReturnPredictor, parameters: Mapping[str, Any], study: PredictorStudy
) -> str:
    """Log a predictor as any other, and read it back."""
    told = {name: parameters[name] for name in ("pruned_from", "method", "sparsity")}
    metadata = {**study.trained.origin.metadata, **told}
    with tempfile.TemporaryDirectory() as temporary:
        predictor.save(Path(temporary))
        uri = tracking.log_model(Path(temporary), metadata)
    events = study.trained.test.events
    logged = tracking.load_predictor(uri).model.predict_proba(events)
    if not np.array_equal(logged, predictor.model.predict_proba(events)):
        raise RuntimeError(f"{uri} scores otherwise than the pruned network it was made of")
    return uri
