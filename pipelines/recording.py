"""What of a trained model and of a comparison goes to MLflow."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from pipelines import tracking
from pipelines.experiment import Experiment, Outcome
from returns.evaluation import Report, comparison_table
from returns.plots import (
    learning_curve,
    model_comparison,
    precision_recall_curves,
    reliability_diagram,
    roc_curves,
    score_distribution,
)
from returns.reasons.chart import reasons_chart, spread
from returns.reasons.contributions import Explainable
from returns.reasons.per_event import contributions_of
from returns.saving_curve import saving_curve

ACCOUNTED = 2000
"""Test events whose reasons stand for all."""

History = Sequence[tuple[int, Mapping[str, float]]]


def record_outcome(
    run_id: str,
    outcome: Outcome,
    experiment: Experiment,
    history: History,
    metadata: Mapping[str, Any],
) -> str:
    """Log a model's hyper-parameters, metrics, plots, predictions and the model itself.

    Args:
        run_id: The current run.
        outcome: The trained model and its reports.
        experiment: What it was trained in.
        history: Metrics per step.
        metadata: What a reader of the model should know.

    Returns:
        The URI of the logged model.
    """
    hyperparameters = outcome.hyperparameters.items()
    tracking.log_parameters({f"model.{key}": value for key, value in hyperparameters})
    tracking.log_history(run_id, history)
    tracking.log_metrics(_metrics(outcome))
    tracking.log_figures(_figures(outcome, experiment, history))
    tracking.log_table(outcome.test.slice_table(), "slices/test")
    with tempfile.TemporaryDirectory() as temporary:
        predictions = Path(temporary) / "test.parquet"
        pq.write_table(_predictions(outcome, experiment), predictions)
        tracking.log_file(predictions, "predictions")
        saved = Path(temporary) / "predictor"
        saved.mkdir()
        outcome.predictor.save(saved)
        return tracking.log_model(saved, metadata)


def record_comparison(outcomes: Mapping[str, Outcome], experiment: Experiment) -> pd.DataFrame:
    """Log the comparison of all models to the current run, which shows it as its description.

    Returns:
        The comparison on all test events, with time and memory of fitting; one row per model.
    """
    reports = {name: outcome.test for name, outcome in outcomes.items()}
    table = comparison_table(reports)
    table["fit s"] = [outcome.fitting.seconds for outcome in outcomes.values()]
    table["peak GiB"] = [outcome.fitting.peak_memory_gib for outcome in outcomes.values()]
    tracking.log_table(table, "comparison/test")
    tracking.describe_run(table)
    tracking.log_metrics(
        {
            f"test_{metric}/{name}": report.overall.metrics[metric].value
            for metric in ("f1", "cross_entropy", "roc_auc")
            for name, report in reports.items()
        }
    )
    resolved = {
        name: outcome.resolved for name, outcome in outcomes.items() if outcome.resolved is not None
    }
    if resolved:
        tracking.log_table(comparison_table(resolved), "comparison/test_resolved")
    labels, labelled = experiment.test_labels, experiment.test_labels >= 0
    scores = {name: outcome.probability[labelled] for name, outcome in outcomes.items()}
    place = (experiment.protocol, experiment.subject)
    tracking.log_figures(
        {
            "comparison": model_comparison(reports, *place),
            "roc": roc_curves(labels[labelled], scores, *place),
            "precision_recall": precision_recall_curves(labels[labelled], scores, *place),
        }
    )
    return table


def _metrics(outcome: Outcome) -> dict[str, float]:
    metrics = {
        "fit_seconds": outcome.fitting.seconds,
        "fit_peak_memory_gib": outcome.fitting.peak_memory_gib,
        "score_seconds": outcome.scoring.seconds,
        "temperature": outcome.predictor.calibration.temperature,
    }
    reports: dict[str, Report | None] = {
        "test": outcome.test,
        "test_resolved": outcome.resolved,
        "validation": outcome.validation,
    }
    for prefix, report in reports.items():
        if report is not None:
            metrics |= {f"{prefix}_{key}": value for key, value in report.scalars().items()}
    return metrics


def _figures(outcome: Outcome, experiment: Experiment, history: History) -> dict[str, Figure]:
    name = outcome.predictor.model.name
    labelled = experiment.test_labels >= 0
    labels, probability = experiment.test_labels[labelled], outcome.probability[labelled]
    place = (experiment.protocol, experiment.subject)
    figures = {
        "roc": roc_curves(labels, {name: probability}, *place),
        "precision_recall": precision_recall_curves(labels, {name: probability}, *place),
        "reliability": reliability_diagram(labels, probability, name, *place),
        "scores": score_distribution(labels, probability, name, *place),
    }
    if experiment.costs is not None:
        figures["saving"] = saving_curve(labels, probability, experiment.costs, name, *place)
    if isinstance(outcome.predictor.model, Explainable):
        events, rows = experiment.test, spread(len(experiment.test), ACCOUNTED)
        temperature = outcome.predictor.calibration.temperature
        account = contributions_of(outcome.predictor.model, events, temperature, rows)
        figures["reasons"] = reasons_chart(account, events.features.part(rows), name, *place)
    if history:
        by_metric: dict[str, list[tuple[int, float]]] = {}
        for step, values in history:
            for metric, value in values.items():
                by_metric.setdefault(metric, []).append((step, value))
        figures["learning_curve"] = learning_curve(by_metric, name, *place)
    return figures


def _predictions(outcome: Outcome, experiment: Experiment) -> pa.Table:
    calibration = outcome.predictor.calibration
    return pa.table(
        {
            "row_id": experiment.test_row_ids,
            "probability": outcome.probability,
            "decision": calibration.decide(outcome.probability).astype("int8"),
        }
    )
