"""What a cycle finds out: how far the orders have moved, and whether the challenger is better."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from data.dataset import Dataset
from pipelines.experiment import Experiment, Outcome
from pipelines.retraining.champion import Champion
from pipelines.retraining.drifting import drift_of_test
from returns.drift import Drift, Level
from returns.knowledge import EventArrays
from returns.promotion import Decision, better_than_base_rate, decide

EPOCH = date(1970, 1, 1)

PROMOTED, KEPT = "promoted", "kept"
"""What becomes of a challenger: it replaces the champion, or the champion is kept."""


@dataclass(frozen=True)
class Findings:
    """What a cycle found out.

    Attributes:
        challenger: Name of the challenging model.
        champion: Number of the version that it was compared with; None if there was no champion.
        promote: Whether it replaces the champion.
        reasons: Why.
        comparison: One row per slice, group and metric.
        drifts: Drift of each column.
    """

    challenger: str
    champion: str | None
    promote: bool
    reasons: tuple[str, ...]
    comparison: pd.DataFrame
    drifts: Mapping[str, Drift]

    @property
    def decision(self) -> str:
        """`promoted` or `kept`."""
        return PROMOTED if self.promote else KEPT

    @property
    def moved(self) -> dict[str, str]:
        """Columns that moved more than noise, and how far; the one that moved most first."""
        ordered = sorted(self.drifts.items(), key=lambda item: -item[1].psi)
        return {
            name: f"{drift.level.value} (PSI {drift.psi:.3f})"
            for name, drift in ordered
            if drift.level is not Level.STABLE
        }

    def to_json(self) -> dict[str, Any]:
        """The findings as JSON values."""
        comparison = self.comparison.to_json(orient="split", index=False, double_precision=15)
        return {
            "challenger": self.challenger,
            "champion": self.champion,
            "promote": self.promote,
            "reasons": list(self.reasons),
            "comparison": comparison,
            "drifts": {name: drift.to_json() for name, drift in self.drifts.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Findings":
        """The findings that `to_json` wrote."""
        drifts = {name: Drift.from_json(each) for name, each in content["drifts"].items()}
        comparison = pd.read_json(io.StringIO(content["comparison"]), orient="split")
        reasons = tuple(content["reasons"])
        return cls(**{**content, "reasons": reasons, "comparison": comparison, "drifts": drifts})


def find(
    experiment: Experiment,
    dataset: Dataset,
    test_from: date,
    challenger: Outcome,
    champion: Champion | None,
    seed: int,
) -> Findings:
    """Compare the test with the past, and the challenger with the champion on the test.

    Args:
        experiment: What the challenger was trained in.
        dataset: All events.
        test_from: First day of the test.
        challenger: The trained model.
        champion: The version that serves; None if there is none.
        seed: Of the bootstrap.
    """
    scores = None if champion is None else champion.score_test(dataset)
    decision = _decide(experiment, challenger, champion, scores, seed)
    until = (None if champion is None else champion.learned_until) or test_from
    day = EventArrays.of(dataset).day
    assert day is not None
    before = None if champion is None else champion.own_test_scores()
    return Findings(
        challenger=challenger.predictor.model.name,
        champion=None if champion is None else champion.version.number,
        promote=decision.promote,
        reasons=decision.reasons,
        comparison=decision.table,
        drifts=drift_of_test(dataset, day < (until - EPOCH).days, before, scores),
    )


def _decide(
    experiment: Experiment,
    challenger: Outcome,
    champion: Champion | None,
    scores: np.ndarray | None,
    seed: int,
) -> Decision:
    labelled = experiment.test_labels >= 0
    labels, customers = experiment.test_labels[labelled], experiment.test_customers[labelled]
    new = (challenger.probability[labelled], challenger.predictor.calibration.threshold)
    if champion is None or scores is None:
        base_rate = float(experiment.train.labels.mean())
        return better_than_base_rate(labels, customers, new, base_rate, seed=seed)
    serving = (scores[labelled], champion.predictor.calibration.threshold)
    return decide(labels, customers, new, serving, experiment.test_groups, seed=seed)
