"""What gradient-boosted trees with native levels share, whichever library grows them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from data.reporter import Reporter
from returns.event_set import EventSet
from returns.layout import FeatureLayout, code_matrix, feature_chunks
from returns.models.base import ONE_BY_ONE, ScoringBatches
from returns.models.saving import (
    Configured,
    read_configuration,
    require_learnable,
    write_configuration,
)
from returns.models.search_space import FloatRange, SearchSpace
from returns.reasons.contributions import Contributions

MOST_REPORTS = 100
"""Rounds whose losses are reported at most."""

ROWS_AT_ONCE = 1 << 17
"""Events scored at a time."""


class RoundReports:
    """Passes on the losses of boosting rounds: all at first, ever fewer as the curve flattens."""

    def __init__(self, name: str, most_rounds: int, reporter: Reporter) -> None:
        """Choose the rounds to report.

        Args:
            name: Of the model.
            most_rounds: Rounds of boosting at most.
            reporter: Receives progress and losses.
        """
        self._name = name
        self._most_rounds = most_rounds
        self._reporter = reporter
        chosen = np.geomspace(1, most_rounds, MOST_REPORTS).round().astype(int)
        self._chosen = frozenset(chosen.tolist())

    def __call__(self, rounds_done: int, losses: Mapping[str, float]) -> None:
        """Report a round if it is one of the chosen.

        Args:
            rounds_done: Rounds so far.
            losses: Cross-entropy of `train` and `validation`; nothing where none is measured.
        """
        if rounds_done in self._chosen:
            self._reporter.progress(self._name, rounds_done, self._most_rounds)
            if losses:
                named = {f"{part}_cross_entropy": loss for part, loss in losses.items()}
                self._reporter.metrics(named, step=rounds_done)


@dataclass(eq=False)
class BoostedTrees(Configured, ABC):
    """Trees that each correct the sum of those before; a library's own subclass grows them.

    Attributes:
        booster_file: Name of the file that the library writes the trees to.
        seed: Of sampled events and columns.
        rounds: Trees at most; the validation cross-entropy chooses how many are kept.
        patience: Rounds without improvement before stopping.
        learning_rate: Shrinkage of each tree.
        event_share: Share of the events that each tree sees.
        column_share: Share of the columns that each tree sees.
        l2_penalty: On leaf values.
    """

    booster_file: ClassVar[str]
    scoring_batches: ClassVar[ScoringBatches] = ONE_BY_ONE

    rounds: int = 2000
    patience: int = 50
    learning_rate: float = 0.07
    event_share: float = 0.95
    column_share: float = 0.4
    l2_penalty: float = 3.0

    _layout: FeatureLayout = field(init=False, repr=False)
    _booster: Any = field(init=False, repr=False)

    def fit(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        """Learn from `train`; `validation` chooses the number of trees.

        Raises:
            ValueError: The training events are not of both classes, or labels are unknown.
        """
        require_learnable(train, validation)
        self._layout = FeatureLayout.of(train.features)
        reports = RoundReports(self.name, self.rounds, reporter)
        self._booster = self._grow(train, validation, self.rounds, reports)
        reporter.progress(self.name, self.rounds, self.rounds)

    def refit(self, events: EventSet, reporter: Reporter) -> None:
        """Grow as many trees anew as `fit` kept.

        Args:
            events: Labelled events.
            reporter: Told of progress.
        """
        rounds = self._num_rounds()
        self._layout = FeatureLayout.of(events.features)
        self._booster = self._grow(events, None, rounds, RoundReports(self.name, rounds, reporter))
        reporter.progress(self.name, rounds, rounds)

    def predict_proba(self, events: EventSet) -> np.ndarray:
        """Probability that each event is returned, float64 `(num_events,)`."""
        self._layout.require(events.features)
        chunks = [
            self._score(code_matrix(chunk))
            for chunk in feature_chunks(events.features, ROWS_AT_ONCE)
        ]
        return np.concatenate([np.empty(0), *chunks])

    def contributions(self, events: EventSet, rows: np.ndarray) -> Contributions:
        """Shapley values of the columns, exact for trees (Lundberg et al., 2020)."""
        self._layout.require(events.features)
        chunks = [
            self._shapley_values(code_matrix(chunk))
            for chunk in feature_chunks(events.features.part(rows), ROWS_AT_ONCE)
        ]
        values = np.concatenate([np.empty((0, len(self._layout.names) + 1)), *chunks])
        return Contributions(self._layout.names, values[:, :-1], values[:, -1])

    def save(self, folder: Path) -> None:
        """Write the trees in the library's text format, columns and hyper-parameters as JSON."""
        self._booster.save_model(folder / self.booster_file)
        write_configuration(folder, self, {"layout": self._layout.to_json()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            ValueError: The folder holds another model.
        """
        hyperparameters, fitted = read_configuration(folder, cls.name)
        model = cls(**hyperparameters)
        model._layout = FeatureLayout.from_json(fitted["layout"])
        model._booster = cls._read(folder / cls.booster_file)
        return model

    @abstractmethod
    def _grow(
        self, train: EventSet, validation: EventSet | None, rounds: int, reports: RoundReports
    ) -> Any:
        """The library's booster, cut off after the best round on validation, if there is one."""

    @abstractmethod
    def _num_rounds(self) -> int:
        """Number of rounds of the booster."""

    @abstractmethod
    def _score(self, codes: np.ndarray) -> np.ndarray:
        """Probabilities `(num_events,)` of a float32 matrix that `code_matrix` made."""

    @abstractmethod
    def _shapley_values(self, codes: np.ndarray) -> np.ndarray:
        """Of each column, then the base, `(num_events, num_columns + 1)`, in log-odds."""

    @staticmethod
    @abstractmethod
    def _read(file: Path) -> Any:
        """The library's booster from its own file."""


SHARED_RANGES: SearchSpace = {
    "learning_rate": FloatRange(0.02, 0.3, log=True),
    "event_share": FloatRange(0.4, 1.0),
    "column_share": FloatRange(0.1, 1.0),
    "l2_penalty": FloatRange(0.01, 100.0, log=True),
}
"""What is tuned alike in every library."""
