"""Calibrated probabilities and a decision threshold, both chosen on the validation events."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

SHARPEST, FLATTEST = 0.01, 100.0
"""Range of the temperature."""


@dataclass(frozen=True)
class Calibration:
    """A temperature on the log-odds (Guo et al., 2017) and a threshold on the result.

    Attributes:
        temperature: Divides the log-odds; above 1 it makes probabilities less extreme.
        threshold: A calibrated probability of at least this decides for a return.
    """

    temperature: float = 1.0
    threshold: float = 0.5

    @classmethod
    def fit(
        cls, labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
    ) -> Self:
        """Choose the temperature of least cross-entropy, then the threshold of largest F1.

        Args:
            labels: Of the validation events: 1 returned, 0 kept, `(num_events,)`.
            probabilities: That the model gave them, `(num_events,)`.
            weights: Weight of each event, `(num_events,)`; equal if None.

        Returns:
            The calibration; temperature 1 and threshold 0.5 where the events of positive weight
            are of one class, which tell nothing of either.

        Raises:
            ValueError: A label is unknown.
        """
        if not np.isin(labels, (0, 1)).all():
            raise ValueError("an event without a known label cannot calibrate")
        weights = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
        counted = weights > 0
        labels, weights = np.asarray(labels)[counted], weights[counted]
        log_odds = _log_odds(np.asarray(probabilities)[counted])
        if len(np.unique(labels)) < 2:
            return cls()
        temperature = best_temperature(labels, log_odds, weights)
        return cls(temperature, best_threshold(labels, expit(log_odds / temperature), weights))

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 `(num_events,)`."""
        calibrated: np.ndarray = expit(_log_odds(probabilities) / self.temperature)
        return calibrated

    def decide(self, calibrated: np.ndarray) -> np.ndarray:
        """Whether each calibrated probability decides for a return, bool `(num_events,)`."""
        return np.asarray(calibrated >= self.threshold)

    def to_json(self) -> dict[str, float]:
        """The calibration as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, float]) -> Self:
        """The calibration that `to_json` wrote."""
        return cls(temperature=content["temperature"], threshold=content["threshold"])


def best_temperature(labels: np.ndarray, log_odds: np.ndarray, weights: np.ndarray) -> float:
    """Temperature of least weighted cross-entropy, within [0.01, 100].

    The cross-entropy is convex in the reciprocal of the temperature, so its minimum is where the
    derivative changes sign, or at an end of the range.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        log_odds: Of the predicted probabilities, float64 `(num_events,)`.
        weights: Weight of each event, `(num_events,)`.
    """

    def derivative(sharpness: float) -> float:
        return float(np.dot(weights * (expit(sharpness * log_odds) - labels), log_odds))

    if not log_odds.any():
        return 1.0  # every probability is 0.5, at any temperature
    flattest, sharpest = 1 / FLATTEST, 1 / SHARPEST
    if derivative(flattest) >= 0:
        return FLATTEST
    if derivative(sharpest) <= 0:
        return SHARPEST
    return 1 / float(brentq(derivative, flattest, sharpest))


def best_threshold(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> float:
    """Threshold of largest weighted F1 over every way of cutting the ranking.

    Args:
        labels: 1 returned, 0 kept, both present, `(num_events,)`.
        probabilities: Of a return, float64 `(num_events,)`.
        weights: Weight of each event, `(num_events,)`.

    Returns:
        The middle between the lowest probability that is decided for a return and the next lower
        one (0 where there is none); of equal cuts the highest.
    """
    order = np.argsort(-probabilities)
    descending = probabilities[order]
    last_of_score = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    predicted = np.cumsum(weights[order])[last_of_score]
    true = np.cumsum(weights[order] * labels[order])[last_of_score]
    best = int(np.argmax(2 * true / (predicted + true[-1])))
    scores = np.append(descending[last_of_score], 0.0)
    middle = float(scores[best] + scores[best + 1]) / 2
    # Between neighbouring floats the middle rounds to one of them, which may be the lower one.
    return middle if middle > scores[best + 1] else float(scores[best])


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    epsilon = np.finfo(np.float64).eps
    bounded = np.clip(np.asarray(probabilities, np.float64), epsilon, 1 - epsilon)
    log_odds: np.ndarray = logit(bounded)
    return log_odds
