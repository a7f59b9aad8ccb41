"""Logistic regression on densely encoded features."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from data.reporter import Reporter
from returns.dense import ROWS_AT_ONCE, DenseEncoder
from returns.event_set import EventSet
from returns.layout import feature_chunks
from returns.metrics import cross_entropy
from returns.models.base import ONE_BY_ONE, ScoringBatches
from returns.models.saving import (
    Configured,
    read_configuration,
    require_learnable,
    write_configuration,
)
from returns.models.search_space import FloatRange, SearchSpace
from returns.reasons.contributions import Contributions

ARRAYS = "coefficients.safetensors"


@dataclass(eq=False)
class Logistic(Configured):
    """Linear log-odds in the dense features, with an L2 penalty.

    Attributes:
        seed: Taken for uniformity; the fit is deterministic and draws nothing.
        inverse_regularisation: Weight of the summed cross-entropy against half the squared norm
            of the coefficients.
        most_iterations: Iterations of L-BFGS at most.
        tolerance: Largest element of the mean gradient at which to stop.
    """

    name: ClassVar[str] = "logistic"
    scoring_batches: ClassVar[ScoringBatches] = ONE_BY_ONE
    search_space: ClassVar[SearchSpace] = {
        "inverse_regularisation": FloatRange(1e-4, 10.0, log=True)
    }

    inverse_regularisation: float = 0.1
    most_iterations: int = 300
    tolerance: float = 1e-4

    _encoder: DenseEncoder = field(init=False, repr=False)
    _coefficients: np.ndarray = field(init=False, repr=False)
    _intercept: float = field(init=False, repr=False)

    def fit(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        """Learn from `train`; the validation events are only measured.

        Raises:
            ValueError: The training events are not of both classes, or labels are unknown.
        """
        require_learnable(train, validation)
        reporter.progress(self.name, 0)
        iterations = self._learn(train)
        probabilities = self.predict_proba(validation)
        loss = cross_entropy(validation.labels, probabilities, validation.weights)
        reporter.metrics({"validation_cross_entropy": loss}, step=iterations)
        reporter.progress(self.name, 1, 1)

    def refit(self, events: EventSet, reporter: Reporter) -> None:
        """Learn anew from more events.

        Args:
            events: Labelled events.
            reporter: Told of progress.
        """
        reporter.progress(self.name, 0)
        self._learn(events)
        reporter.progress(self.name, 1, 1)

    def _learn(self, train: EventSet) -> int:
        """Learn from events; the number of iterations it took."""
        self._encoder = DenseEncoder().fit(train.features, train.weights)
        regression = LogisticRegression(
            C=self.inverse_regularisation, max_iter=self.most_iterations, tol=self.tolerance
        )
        dense = self._encoder.transform(train.features)
        regression.fit(dense, train.labels, sample_weight=train.weights)
        self._coefficients = regression.coef_[0].astype(np.float64)
        self._intercept = float(regression.intercept_[0])
        return int(regression.n_iter_[0])

    def predict_proba(self, events: EventSet) -> np.ndarray:
        """Probability that each event is returned, float64 `(num_events,)`.

        An event's probability does not depend, to the last bit, on the events beside it.
        """
        log_odds = np.empty(len(events))
        start = 0
        for chunk in feature_chunks(events.features, ROWS_AT_ONCE):
            dense = self._encoder.transform(chunk).astype(np.float64)
            rows = slice(start, start + len(chunk))
            np.einsum("ij,j->i", dense, self._coefficients, out=log_odds[rows])
            start += len(chunk)
        probabilities: np.ndarray = expit(log_odds + self._intercept)
        return probabilities

    def contributions(self, events: EventSet, rows: np.ndarray) -> Contributions:
        """Coefficient times value, from the median and no level, summed over each column."""
        parts = [
            self._encoder.by_column(self._encoder.transform(chunk) * self._coefficients)
            for chunk in feature_chunks(events.features.part(rows), ROWS_AT_ONCE)
        ]
        names = self._encoder.layout.names
        log_odds = np.concatenate([np.empty((0, len(names))), *parts])
        return Contributions(names, log_odds, np.full(len(rows), self._intercept))

    def save(self, folder: Path) -> None:
        """Write coefficients as safetensors, encoder and hyper-parameters as JSON."""
        save_file({"coefficients": self._coefficients}, folder / ARRAYS)
        fitted = {"intercept": self._intercept, "encoder": self._encoder.to_json()}
        write_configuration(folder, self, fitted)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            ValueError: The folder holds another model, or coefficients that do not fit it.
        """
        hyperparameters, fitted = read_configuration(folder, cls.name)
        model = cls(**hyperparameters)
        model._encoder = DenseEncoder.from_json(fitted["encoder"])
        model._intercept = fitted["intercept"]
        model._coefficients = load_file(folder / ARRAYS)["coefficients"]
        if model._coefficients.shape != (model._encoder.width,):
            raise ValueError(f"{folder}: {ARRAYS} does not match the encoded features")
        return model
