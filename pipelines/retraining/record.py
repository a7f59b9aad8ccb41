"""What of a cycle goes to MLflow: a run with drift, decision and models, and a version."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.dataset import Manifest
from pipelines import registry, tracking
from pipelines.experiment import Experiment, Outcome
from pipelines.model_card import model_card, version_tags
from pipelines.recording import record_comparison, record_outcome
from pipelines.registry import Version
from pipelines.retraining.deciding import Findings
from pipelines.retraining.kept_fits import History
from returns.drift import Level, drift_table
from returns.drift_plots import drift_overview, drift_shares

CYCLE_TAG = "retraining"
"""Tag of runs and versions: the id of the cycle that made them."""

MODEL_URI_TAG, DECISION_TAG, CHAMPION_TAG = "model_uri", "decision", "compared_with"


@dataclass(frozen=True)
class CycleRecord:
    """What of a cycle is recorded.

    Attributes:
        cycle: Id of the cycle.
        today: The day it took for today, ISO 8601.
        findings: Drift and decision.
        outcomes: Each trained model and its reports.
        histories: Metrics per step of each.
        experiment: What they were trained in.
        manifest: Of the dataset.
        folder: The dataset.
        parameters: Resolved configuration.
        restored: What was wrong with the champion and done; None if nothing.
    """

    cycle: str
    today: str
    findings: Findings
    outcomes: Mapping[str, Outcome]
    histories: Mapping[str, History]
    experiment: Experiment
    manifest: Manifest
    folder: Path
    parameters: Mapping[str, Any]
    restored: str | None

    @property
    def challenger(self) -> Outcome:
        """The challenging model."""
        return self.outcomes[self.findings.challenger]

    @property
    def tags(self) -> dict[str, str]:
        """What run and version carry of the cycle."""
        return {
            CYCLE_TAG: self.cycle,
            DECISION_TAG: self.findings.decision,
            CHAMPION_TAG: str(self.findings.champion),
        }

    @property
    def card(self) -> str:
        """The challenger's model card."""
        return model_card(self.challenger, self.experiment, self.manifest)


def record_cycle(cycle: CycleRecord) -> str:
    """Log a cycle as one run, with a child per model; a cycle that was logged is not logged again.

    Returns:
        URI of the challenger.
    """
    logged = tracking.finished_run(cycle.tags)
    if logged is not None:
        return logged[1][MODEL_URI_TAG]
    findings, experiment = cycle.findings, cycle.experiment
    common = {"protocol": experiment.protocol.value, "source": experiment.source}
    with tracking.run(f"retrain {cycle.today}", cycle.parameters, {**common, **cycle.tags}):
        tracking.log_dataset(cycle.manifest, cycle.folder, "training")
        uris = {name: _record_model(cycle, name, common) for name in cycle.outcomes}
        record_comparison(cycle.outcomes, experiment)
        tracking.log_table(drift_table(findings.drifts), "drift/columns")
        tracking.log_table(findings.comparison, "decision/comparison")
        place = (experiment.protocol, experiment.subject)
        tracking.log_figures(
            {
                "drift": drift_overview(findings.drifts, *place),
                "drift_shares": drift_shares(findings.drifts, *place),
            }
        )
        tracking.log_metrics(_metrics(findings))
        tracking.log_text(cycle.card, "model_card.md")
        tracking.set_note(_note(cycle))
        uri = uris[findings.challenger]
        tracking.set_tags({MODEL_URI_TAG: uri})
    return uri


def register_challenger(cycle: CycleRecord, model_uri: str) -> Version:
    """Register the challenger; one that the cycle registered is not registered again.

    Raises:
        UnservableError: What was logged is not what was trained.
    """
    own = {**cycle.tags, MODEL_URI_TAG: model_uri}
    for version in registry.versions({CYCLE_TAG: cycle.cycle, MODEL_URI_TAG: model_uri}):
        return version
    tags = version_tags(cycle.challenger, cycle.experiment, cycle.manifest)
    return registry.register(model_uri, cycle.challenger.predictor, {**tags, **own}, cycle.card)


def _record_model(cycle: CycleRecord, name: str, common: Mapping[str, str]) -> str:
    """Log one model in a run of its own; returns its URI."""
    tags = {**common, "model": name}
    parameters = {**cycle.parameters, "models": name}
    with tracking.run(name, parameters, tags, nested=True) as run:
        tracking.log_dataset(cycle.manifest, cycle.folder, "training")
        metadata = {**tags, "dataset_digest": cycle.manifest.digest}
        history = cycle.histories[name]
        return record_outcome(
            run.info.run_id, cycle.outcomes[name], cycle.experiment, history, metadata
        )


def _metrics(findings: Findings) -> dict[str, float]:
    overall = findings.comparison[findings.comparison["slice"] == "all"].set_index("metric")
    metrics: dict[str, float] = {
        f"{model}_test_{metric}": value
        for model in ("challenger", "champion")
        for metric, value in overall[model].items()
    }
    metrics |= {
        f"difference_cross_entropy{suffix}": overall[column].to_dict()["cross_entropy"]
        for suffix, column in (("", "difference"), ("_low", "low"), ("_high", "high"))
    }
    levels = [drift.level for drift in findings.drifts.values()]
    metrics |= {f"drift_{level.value}": float(levels.count(level)) for level in Level}
    metrics |= {f"psi/{_plain(name)}": drift.psi for name, drift in findings.drifts.items()}
    return metrics


def _plain(name: str) -> str:
    """A name in the characters that MLflow allows in a metric's."""
    return "".join(letter if letter.isalnum() or letter in "_-. " else "_" for letter in name)


def _note(cycle: CycleRecord) -> str:
    findings = cycle.findings
    against = f"version {findings.champion}" if findings.champion else "no champion"
    lines = [f"**{findings.decision}**, {findings.challenger} against {against}", ""]
    lines += [f"- {reason}" for reason in findings.reasons]
    if cycle.restored:
        lines.append(f"- the champion had to be restored: {cycle.restored}")
    moved = [f"{name} {how}" for name, how in findings.moved.items()]
    lines += ["", f"Moved: {', '.join(moved) or 'nothing'}"]
    return "\n".join(lines)
