"""The interface that every return classifier has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from data.reporter import Reporter
from returns.event_set import EventSet


@dataclass(frozen=True)
class ScoringBatches:
    """How a model batches the events that it scores: in other batches the last bit may differ.

    Attributes:
        size: Events of a batch, give or take a group; None: all events are scored together.
        by_group: Whether events that are decided together, such as the lines of an order, are of
            one batch, groups by first appearance; else batches are consecutive events.
    """

    size: int | None
    by_group: bool = False


ONE_BY_ONE = ScoringBatches(1)
"""Of models to which nothing matters that is scored beside an event."""

ALL_TOGETHER = ScoringBatches(None)
"""Of models that read whole graphs."""


class ReturnClassifier(Protocol):
    """Learns the probability that an order line is returned.

    Attributes:
        name: Name on the command line.
        scoring_batches: How it batches the events that it scores.
    """

    name: ClassVar[str]
    scoring_batches: ClassVar[ScoringBatches]

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What the model was made with, as JSON values."""

    def fit(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        """Learn from `train`; `validation` chooses when to stop, never a weight.

        Args:
            train: Labelled events.
            validation: Labelled events of other customers, or of a later time.
            reporter: Told of progress, and of the metrics of each step or epoch.
        """

    def refit(self, events: EventSet, reporter: Reporter) -> None:
        """Learn anew from more events, for as long as `fit` found best; nothing chooses anything.

        Args:
            events: Labelled events, such as those of training and validation together.
            reporter: Told of progress.
        """

    def predict_proba(self, events: EventSet) -> np.ndarray:
        """Probability that each event is returned, float64 `(num_events,)`, uncalibrated."""

    def save(self, folder: Path) -> None:
        """Write the fitted model into an existing folder: safetensors, JSON, plain text."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote; its probabilities are the same to the last bit."""
