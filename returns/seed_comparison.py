"""Models fitted with several seeds, compared in pairs over resampled customers.

A figure is the mean over seeds of each fit's metric. Customers are resampled once per replicate,
and the replicate measures every fit of both models on them, so that what makes a draw of customers
easy or hard drops out of a difference. The seeds are not resampled: how much they differ is told
beside the interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from returns.bootstrap import GroupReplicates, customer_draws, replicate_sums
from returns.evaluation import Estimate, with_interval
from returns.metrics import ScoredEvents

METRICS = ("cross_entropy", "roc_auc")
"""Metrics that are compared; none needs a threshold."""

REPLICATES = 1000
"""Bootstrap replicates unless told otherwise."""

NO_THRESHOLD = 0.5
"""Stands where a threshold must be given and none of `METRICS` reads it."""


@dataclass(frozen=True)
class SeedFigures:
    """One metric of a model's fits on some events.

    Attributes:
        values: Of each fit, float64 `(num_seeds,)`.
        replicates: Mean over the fits in each replicate, float64 `(num_replicates,)`.
    """

    values: np.ndarray
    replicates: np.ndarray

    @property
    def mean(self) -> float:
        """Mean over the fits."""
        return float(self.values.mean())


@dataclass(frozen=True)
class SeedDifference:
    """One metric of a model less that of another.

    Attributes:
        estimate: Difference of the means over seeds, with its 95 % interval over customers.
        seed_deviation: Standard deviation of the difference from seed to seed; NaN of one seed.
    """

    estimate: Estimate
    seed_deviation: float


Figures = Mapping[str, Mapping[str, SeedFigures]]
"""Of each group of events, each metric."""


class SeedComparison:
    """Labelled events on which models are compared."""

    def __init__(
        self,
        labels: np.ndarray,
        customers: np.ndarray,
        groups: Mapping[str, np.ndarray],
        *,
        seed: int = 0,
        replicates: int = REPLICATES,
    ) -> None:
        """Number the customers.

        Args:
            labels: 1 returned, 0 kept, `(num_events,)`.
            customers: Customer of each event, `(num_events,)`.
            groups: Events of each group, bool `(num_events,)`; groups may overlap.
            seed: Of the bootstrap.
            replicates: Number of bootstrap replicates.
        """
        self._labels = labels
        self._customer = np.unique(customers, return_inverse=True)[1]
        self._groups = dict(groups)
        self._seed, self._replicates = seed, replicates

    def figures(self, probabilities: Sequence[np.ndarray]) -> Figures:
        """Measure the fits of one model.

        Args:
            probabilities: Of each fit, float64 `(num_events,)`.

        Raises:
            ValueError: There are no events, a label is unknown, a probability is outside [0, 1],
                or lengths differ.
        """
        fits = [ScoredEvents.of(self._labels, each, NO_THRESHOLD) for each in probabilities]
        values = {
            group: [fit.part(mask).metrics() for fit in fits]
            for group, mask in self._groups.items()
        }
        replicates = self._replicate_means(fits)
        return {
            group: {
                metric: SeedFigures(
                    np.array([each[metric] for each in of_fits]), replicates[group][metric]
                )
                for metric in METRICS
            }
            for group, of_fits in values.items()
        }

    def _replicate_means(self, fits: Sequence[ScoredEvents]) -> dict[str, dict[str, np.ndarray]]:
        """Mean over fits of each group's metrics, float64 `(num_replicates,)` each."""
        sums = [replicate_sums(fit) for fit in fits]
        measured = {
            group: [GroupReplicates(each, self._customer, np.where(mask, 0, -1)) for each in sums]
            for group, mask in self._groups.items()
        }
        blocks: dict[str, dict[str, list[np.ndarray]]] = {
            group: {metric: [] for metric in METRICS} for group in measured
        }
        num_customers = int(self._customer.max()) + 1
        for draws in customer_draws(num_customers, self._replicates, self._seed):
            for group, of_fits in measured.items():
                metrics = [each.metrics(draws) for each in of_fits]
                for metric in METRICS:
                    mean = np.mean([each[metric][0] for each in metrics], axis=0)
                    blocks[group][metric].append(mean)
        return {
            group: {metric: np.concatenate(parts) for metric, parts in of_group.items()}
            for group, of_group in blocks.items()
        }


def differences(model: Figures, reference: Figures) -> dict[str, dict[str, SeedDifference]]:
    """A model's figures less those of a reference with the same seeds on the same events.

    Args:
        model: What `SeedComparison.figures` gave.
        reference: What the same comparison gave for another model.

    Returns:
        Of each group, the difference of each metric.
    """
    return {
        group: {
            metric: _difference(metric, figures, reference[group][metric])
            for metric, figures in of_group.items()
        }
        for group, of_group in model.items()
    }


def _difference(metric: str, model: SeedFigures, reference: SeedFigures) -> SeedDifference:
    by_seed = model.values - reference.values
    estimate = with_interval(metric, float(by_seed.mean()), model.replicates - reference.replicates)
    deviation = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else float("nan")
    return SeedDifference(estimate, deviation)
