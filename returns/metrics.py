"""Metrics of predicted return probabilities, each a function of sums over events.

Because only sums enter, one formula serves the point estimate, weighted events and every bootstrap
replicate: `EventSums` says what each event adds to which sum, `Totals` holds the sums, and
`Totals.metrics` computes the figures for all leading axes (replicates) at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from returns.costs import LINES, Costs

SMALLEST_PROBABILITY = 1e-15
"""Probabilities are kept this far from 0 and 1 in a logarithm."""

CALIBRATION_BINS = 15
"""Bins of equal width over [0, 1] of the expected calibration error (Guo et al., 2017)."""

SAVINGS = ("saving", "expected_saving", "largest_saving")
"""Names of the metrics that need costs, in money per thousand order lines."""

METRICS = (
    "precision",
    "recall",
    "f1",
    "cross_entropy",
    "roc_auc",
    "average_precision",
    "brier",
    "ece",
    "precision_at_threshold",
    "recall_at_threshold",
    "f1_at_threshold",
)
"""Names of the metrics that need nothing but labels, probabilities and a threshold."""


def event_cross_entropy(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of each label in nats, float64 `(num_events,)`."""
    bounded = np.clip(
        np.asarray(probabilities, np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY
    )
    losses: np.ndarray = -np.log(np.where(labels == 1, bounded, 1 - bounded))
    return losses


def cross_entropy(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Mean binary cross-entropy in nats.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        probabilities: Of a return, `(num_events,)`.
        weights: Weight of each event, `(num_events,)`; equal if None.
    """
    return float(np.average(event_cross_entropy(labels, probabilities), weights=weights))


@dataclass(frozen=True)
class ScoredEvents:
    """Labelled events with their predicted probabilities.

    Attributes:
        labels: 1 returned, 0 kept, int64 `(num_events,)`.
        probabilities: Of a return, float64 `(num_events,)`.
        threshold: Chosen threshold; a probability of at least it decides for a return.
        losses: Losses of each event by name, float64 `(num_events,)`: `cross_entropy`, `brier`,
            where the true probability is known `true_cross_entropy` and `base_cross_entropy`,
            the losses of knowing everything and of knowing the base rate alone, and where costs
            are given `saving`, `expected_saving` and `largest_saving`: the money that the
            decisions save, what the probabilities promise of it, and what knowing the outcome
            would save.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    threshold: float
    losses: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        probabilities: np.ndarray,
        threshold: float,
        true_probability: np.ndarray | None = None,
        base_rate: float | None = None,
        costs: Costs | None = None,
    ) -> Self:
        """Check the events and compute their losses.

        Args:
            labels: 1 returned, 0 kept, `(num_events,)`.
            probabilities: Of a return, `(num_events,)`.
            threshold: Chosen threshold.
            true_probability: That synthetic labels were drawn with, if known.
            base_rate: Return rate of the training events; required with `true_probability`.
            costs: What an intervention from the threshold on costs and saves, if told.

        Raises:
            ValueError: There are no events, a label is unknown, a probability is outside [0, 1],
                lengths differ, or `base_rate` is missing.
        """
        labels = np.asarray(labels, np.int64)
        probabilities = np.asarray(probabilities, np.float64)
        if len(labels) == 0:
            raise ValueError("there are no events to evaluate")
        if not np.isin(labels, (0, 1)).all():
            raise ValueError("an event without a known label cannot be evaluated")
        if labels.shape != probabilities.shape:
            raise ValueError(f"{len(labels)} labels, but {probabilities.shape} probabilities")
        if not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise ValueError("a predicted probability is outside [0, 1]")
        losses = {
            "cross_entropy": event_cross_entropy(labels, probabilities),
            "brier": np.square(probabilities - labels),
        }
        if true_probability is not None:
            if base_rate is None:
                raise ValueError("the share of the reachable gain needs the training base rate")
            losses["true_cross_entropy"] = event_cross_entropy(labels, true_probability)
            base = np.full(len(labels), base_rate)
            losses["base_cross_entropy"] = event_cross_entropy(labels, base)
        if costs is not None:
            decided = probabilities >= threshold
            losses["saving"] = costs.saving(labels, decided)
            losses["expected_saving"] = costs.saving(probabilities, decided)
            losses["largest_saving"] = costs.saving(labels, labels == 1)
        return cls(labels, probabilities, threshold, losses)

    def __len__(self) -> int:
        """Number of events."""
        return len(self.labels)

    def part(self, rows: np.ndarray) -> Self:
        """Some of the events, by mask or row numbers."""
        losses = {name: loss[rows] for name, loss in self.losses.items()}
        return replace(
            self, labels=self.labels[rows], probabilities=self.probabilities[rows], losses=losses
        )

    def metrics(self, weights: np.ndarray | None = None) -> dict[str, float]:
        """Every metric, exact.

        Args:
            weights: Weight of each event, `(num_events,)`; equal if None.
        """
        bins = ScoreBins.exact(self.probabilities, self.threshold)
        totals = EventSums.of(self, bins).totals(weights)
        return {name: float(value) for name, value in totals.metrics().items()}


@dataclass(frozen=True)
class ScoreBins:
    """Events grouped by predicted probability.

    Attributes:
        of_event: Bin of each event in ascending order of probability, int64 `(num_events,)`.
        number: Number of bins.
        half: First bin of probabilities of at least 0.5.
        threshold: First bin of probabilities of at least the decision threshold.
    """

    of_event: np.ndarray
    number: int
    half: int
    threshold: int

    @classmethod
    def exact(cls, probabilities: np.ndarray, threshold: float) -> Self:
        """One bin per distinct probability: ranking metrics are exact."""
        values, of_event = np.unique(probabilities, return_inverse=True)
        half, cut = np.searchsorted(values, [0.5, threshold])
        return cls(of_event, len(values), int(half), int(cut))

    @classmethod
    def coarse(cls, probabilities: np.ndarray, threshold: float, number: int) -> Self:
        """About `number` bins of equal mass; decisions stay exact, ranks within a bin tie."""
        ascending = np.sort(probabilities)
        quantiles = ascending[np.linspace(0, len(ascending) - 1, number + 1).astype(np.int64)]
        edges = np.unique(np.concatenate([quantiles[1:], [0.5, threshold]]))
        of_event = np.searchsorted(edges, probabilities, side="right")
        half, cut = np.searchsorted(edges, [0.5, threshold]) + 1
        return cls(of_event, len(edges) + 1, int(half), int(cut))


@dataclass(frozen=True)
class Totals:
    """Sums over events; leading axes, if any, are replicates.

    Attributes:
        bins: The score bins that were summed in.
        negatives: Weight of kept events per bin, `(..., num_bins)`.
        positives: Weight of returned events per bin, `(..., num_bins)`.
        losses: Sum of each named loss, `(...)`.
        calibration_gaps: Sum of probability minus label per calibration bin, `(..., 15)`.
    """

    bins: ScoreBins
    negatives: np.ndarray
    positives: np.ndarray
    losses: Mapping[str, np.ndarray]
    calibration_gaps: np.ndarray

    def metrics(self) -> dict[str, np.ndarray]:
        """Every metric, `(...)`; NaN where it is undefined, e.g. ROC AUC of a single class.

        Precision is undefined without a predicted return, recall without a return, F1 without
        either.
        """
        negative, positive = self.negatives.sum(-1), self.positives.sum(-1)
        mean = {name: ratio(loss, negative + positive) for name, loss in self.losses.items()}
        at_half = self._decisions(self.bins.half)
        at_threshold = self._decisions(self.bins.threshold)
        metrics = {
            **at_half,
            "cross_entropy": mean["cross_entropy"],
            "roc_auc": self._roc_auc(negative, positive),
            "average_precision": self._average_precision(positive),
            "brier": mean["brier"],
            "ece": ratio(np.abs(self.calibration_gaps).sum(-1), negative + positive),
            **{f"{name}_at_threshold": value for name, value in at_threshold.items()},
        }
        if "true_cross_entropy" in mean:
            reachable, base = mean["true_cross_entropy"], mean["base_cross_entropy"]
            metrics["reachable_cross_entropy"] = reachable
            metrics["reachable_gain_share"] = ratio(base - mean["cross_entropy"], base - reachable)
        for name in SAVINGS:
            if name in mean:
                metrics[name] = LINES * mean[name]
        return metrics

    def _decisions(self, first_bin: int) -> dict[str, np.ndarray]:
        true = self.positives[..., first_bin:].sum(-1)
        predicted = true + self.negatives[..., first_bin:].sum(-1)
        positive = self.positives.sum(-1)
        return {
            "precision": ratio(true, predicted),
            "recall": ratio(true, positive),
            "f1": ratio(2 * true, predicted + positive),
        }

    def _roc_auc(self, negative: np.ndarray, positive: np.ndarray) -> np.ndarray:
        below = np.cumsum(self.negatives, axis=-1) - self.negatives / 2
        return ratio((self.positives * below).sum(-1), negative * positive)

    def _average_precision(self, positive: np.ndarray) -> np.ndarray:
        true = np.cumsum(self.positives[..., ::-1], axis=-1)
        predicted = true + np.cumsum(self.negatives[..., ::-1], axis=-1)
        precision = true / np.where(predicted > 0, predicted, 1.0)
        return ratio((self.positives[..., ::-1] * precision).sum(-1), positive)


@dataclass(frozen=True)
class EventSums:
    """What each event adds to which sum, one entry per addition.

    The sums are, in order: kept events per score bin, returned events per score bin, the losses,
    the calibration gaps.

    Attributes:
        bins: Score bin of each event.
        loss_names: Names of the losses.
        sum_index: Sum that an entry adds to, int64 `(num_entries,)`.
        event: Event that adds, int64 `(num_entries,)`.
        value: What it adds, float64 `(num_entries,)`.
    """

    bins: ScoreBins
    loss_names: tuple[str, ...]
    sum_index: np.ndarray
    event: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, events: ScoredEvents, bins: ScoreBins) -> Self:
        """The additions of events.

        Args:
            events: Labelled events with their probabilities.
            bins: Score bins of the same events.
        """
        num_losses = len(events.losses)
        first_loss = 2 * bins.number
        calibration_bin = np.minimum(
            (events.probabilities * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1
        )
        sum_index = [
            events.labels * bins.number + bins.of_event,
            np.repeat(first_loss + np.arange(num_losses), len(events)),
            first_loss + num_losses + calibration_bin,
        ]
        gaps = events.probabilities - events.labels
        return cls(
            bins=bins,
            loss_names=tuple(events.losses),
            sum_index=np.concatenate(sum_index),
            event=np.tile(np.arange(len(events)), num_losses + 2),
            value=np.concatenate([np.ones(len(events)), *events.losses.values(), gaps]),
        )

    @property
    def number(self) -> int:
        """Number of sums."""
        return 2 * self.bins.number + len(self.loss_names) + CALIBRATION_BINS

    def totals(self, weights: np.ndarray | None = None) -> Totals:
        """Sums over events, each counted with its weight `(num_events,)`, or once."""
        value = self.value if weights is None else self.value * weights[self.event]
        return self.split(np.bincount(self.sum_index, value, minlength=self.number))

    def split(self, sums: np.ndarray) -> Totals:
        """Name the sums.

        Args:
            sums: All sums on the last axis, `(..., number)`.
        """
        ends = np.cumsum([self.bins.number, self.bins.number, len(self.loss_names)])
        negatives, positives, losses, gaps = np.split(sums, ends, axis=-1)
        named = {name: losses[..., place] for place, name in enumerate(self.loss_names)}
        return Totals(self.bins, negatives, positives, named, gaps)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise quotient, NaN where the denominator is 0."""
    quotient = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) != 0)
    return quotient
