"""Boosted trees and the graph network, averaged."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy.special import expit, logit

from data.reporter import Reporter
from returns import parallel
from returns.event_set import EventSet
from returns.metrics import cross_entropy
from returns.models.base import ScoringBatches
from returns.models.gnn import GNN
from returns.models.lightgbm_trees import LightGBM
from returns.models.saving import Configured, read_configuration, write_configuration
from returns.models.search_space import SearchSpace
from returns.reasons.contributions import Contributions, mixed

SHARES = np.linspace(0.0, 1.0, 21)
"""Shares of the graph network that are tried."""


@dataclass(eq=False)
class Stack(Configured):
    """Weighted mean of the log-odds of `lightgbm` and `gnn`; validation chooses the weight.

    Several processes learn `gnn` together; the first alone learns the rest, and is the whole model.

    Attributes:
        seed: Of both models.
        epochs: Of `gnn`; None: its default.
    """

    name: ClassVar[str] = "stack"
    scoring_batches: ClassVar[ScoringBatches] = GNN.scoring_batches
    learns_together: ClassVar[bool] = True
    search_space: ClassVar[SearchSpace] = {}

    epochs: int | None = None

    _trees: LightGBM = field(init=False, repr=False)
    _graph: GNN = field(init=False, repr=False)
    _share: float = field(init=False, repr=False)

    def fit(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        """Learn both models from `train`; `validation` chooses how long, and their weights.

        Raises:
            ValueError: The training events are not of both classes, or labels are unknown.
        """
        self._trees, self._graph = LightGBM(seed=self.seed), GNN(seed=self.seed)
        if self.epochs is not None:
            self._graph.epochs = self.epochs
        if parallel.rank() == 0:
            self._trees.fit(train, validation, reporter)
        self._graph.fit(train, validation, reporter)
        if parallel.rank() > 0:
            return
        parts = self._log_odds(validation)
        losses = [
            cross_entropy(validation.labels, expit(_mixed(parts, share)), validation.weights)
            for share in SHARES
        ]
        self._share = float(SHARES[int(np.argmin(losses))])

    def refit(self, events: EventSet, reporter: Reporter) -> None:
        """Learn both models anew; their weights stay.

        Args:
            events: Labelled events.
            reporter: Told of progress.
        """
        if parallel.rank() == 0:
            self._trees.refit(events, reporter)
        self._graph.refit(events, reporter)

    def predict_proba(self, events: EventSet) -> np.ndarray:
        """Probability that each event is returned, float64 `(num_events,)`, uncalibrated."""
        probability: np.ndarray = expit(_mixed(self._log_odds(events), self._share))
        return probability

    def contributions(self, events: EventSet, rows: np.ndarray) -> Contributions:
        """The accounts of both models, weighted as their log-odds are."""
        trees, graph = (part.contributions(events, rows) for part in (self._trees, self._graph))
        return mixed([(1 - self._share, trees), (self._share, graph)])

    def save(self, folder: Path) -> None:
        """Write each model into a folder of its own, the weight as JSON."""
        for model in (self._trees, self._graph):
            (folder / model.name).mkdir()
            model.save(folder / model.name)
        write_configuration(folder, self, {"share": self._share})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote; its probabilities are the same to the last bit.

        Raises:
            ValueError: The folder holds another model.
        """
        hyperparameters, fitted = read_configuration(folder, cls.name)
        model = cls(**hyperparameters)
        model._trees = LightGBM.load(folder / LightGBM.name)
        model._graph = GNN.load(folder / GNN.name)
        model._share = fitted["share"]
        return model

    def _log_odds(self, events: EventSet) -> tuple[np.ndarray, np.ndarray]:
        trees, graph = (logit(part.predict_proba(events)) for part in (self._trees, self._graph))
        return trees, graph


def _mixed(parts: tuple[np.ndarray, np.ndarray], share: float) -> np.ndarray:
    trees, graph = parts
    return np.asarray((1 - share) * trees + share * graph)
