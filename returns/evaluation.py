"""How good predicted return probabilities are, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from returns.bootstrap import GroupReplicates, customer_draws, replicate_sums
from returns.costs import LINES, Costs
from returns.metrics import ScoredEvents

FEWEST_EVENTS = 50
"""A group with fewer events is not reported."""

REPLICATES = 200
"""Bootstrap replicates unless told otherwise."""

SAVING_TITLE = f"saved per {LINES} lines"

COMPARED = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "cross_entropy": "cross-entropy",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "brier": "Brier",
    "ece": "ECE",
    "f1_at_threshold": "F1 at threshold",
    "saving": SAVING_TITLE,
}
"""Metrics of the comparison table and their column titles; `saving` where costs are told."""

CENTRED = frozenset({"roc_auc", "average_precision", "ece"})
"""Metrics whose interval is centred on the figure, because their replicates are not."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval over resampled customers.

    Attributes:
        value: The figure on the events themselves; NaN where it is undefined.
        low: Lower end, NaN where fewer than half of the replicates define the figure.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupReport:
    """Metrics of some events.

    Attributes:
        num_events: Number of events.
        num_customers: Number of their customers.
        base_rate: Share of them that was returned.
        metrics: Each metric by name, see `returns.metrics.METRICS`.
    """

    num_events: int
    num_customers: int
    base_rate: float
    metrics: Mapping[str, Estimate]


@dataclass(frozen=True)
class Report:
    """Metrics of all events, and of groups of them.

    Attributes:
        threshold: Chosen threshold that the `_at_threshold` metrics use.
        overall: Micro-average over all events.
        slices: For each way of grouping, e.g. `market`, the report of each group.
    """

    threshold: float
    overall: GroupReport
    slices: Mapping[str, Mapping[str, GroupReport]]

    def scalars(self) -> dict[str, float]:
        """Overall figures by plain name, interval ends as `NAME_low` and `NAME_high`."""
        scalars = {
            "num_events": float(self.overall.num_events),
            "base_rate": self.overall.base_rate,
            "threshold": self.threshold,
        }
        for name, estimate in self.overall.metrics.items():
            scalars[name] = estimate.value
            scalars[f"{name}_low"] = estimate.low
            scalars[f"{name}_high"] = estimate.high
        return scalars

    def slice_table(self) -> pd.DataFrame:
        """One row per slice, group and metric: number of events, base rate, value, low, high."""
        rows = [
            {
                "slice": name,
                "group": group,
                "num_events": report.num_events,
                "base_rate": report.base_rate,
                "metric": metric,
                **asdict(estimate),
            }
            for name, groups in {"all": {"all": self.overall}, **self.slices}.items()
            for group, report in groups.items()
            for metric, estimate in report.metrics.items()
        ]
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)


def evaluate(
    labels: np.ndarray,
    probabilities: np.ndarray,
    threshold: float,
    customers: np.ndarray,
    groups: Mapping[str, np.ndarray] | None = None,
    *,
    true_probability: np.ndarray | None = None,
    base_rate: float | None = None,
    costs: Costs | None = None,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Report:
    """Measure predicted probabilities against labels.

    Precision, recall and F1 are of the returned class, at 0.5 and at the chosen threshold (suffix
    `_at_threshold`). Cross-entropy is binary, in nats. The expected calibration error has 15 bins
    of equal width. Intervals are percentiles of customer-level bootstrap replicates; those of the
    ranking metrics, computed on score bins, and of the calibration error, which resampling biases
    upwards, are centred on the figure itself.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        probabilities: Of a return, `(num_events,)`.
        threshold: Chosen threshold; a probability of at least it decides for a return.
        customers: Customer of each event, `(num_events,)`.
        groups: For each way of grouping, the group of each event, None or NaN for none.
        true_probability: That synthetic labels were drawn with: adds `reachable_cross_entropy`,
            the mean loss of knowing it, and `reachable_gain_share`, how much of the way from the
            base rate's loss to that one the model has come.
        base_rate: Return rate of the training events; required with `true_probability`.
        costs: What an intervention costs and saves: adds `saving`, the money that intervening
            from the threshold on saves on a thousand order lines, `expected_saving`, what the
            probabilities promise of it, and `largest_saving`, what knowing all outcomes would.
        seed: Of the bootstrap.
        replicates: Number of bootstrap replicates.

    Returns:
        The report; groups of fewer than 50 events are left out.

    Raises:
        ValueError: There are no events, a label is unknown, a probability is outside [0, 1],
            lengths differ, or `base_rate` is missing.
    """
    events = ScoredEvents.of(labels, probabilities, threshold, true_probability, base_rate, costs)
    customer = _contiguous(customers, len(events))
    grouping = {name: _large_groups(group) for name, group in (groups or {}).items()}
    codes = [np.zeros(len(events), np.int64), *(code for code, _ in grouping.values())]
    overall, *of_slices = _replicate_metrics(events, customer, codes, replicates, seed)
    return Report(
        threshold,
        overall=_group_report(events, customer, {name: rows[0] for name, rows in overall.items()}),
        slices={
            name: {
                group: _group_report(
                    events.part(code == place),
                    customer[code == place],
                    {metric: rows[place] for metric, rows in replicate.items()},
                )
                for place, group in enumerate(names)
            }
            for (name, (code, names)), replicate in zip(grouping.items(), of_slices, strict=True)
        },
    )


def paired_difference(
    labels: np.ndarray,
    customers: np.ndarray,
    first: tuple[np.ndarray, float],
    second: tuple[np.ndarray, float],
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> dict[str, Estimate]:
    """Metrics of a first model less those of a second on the same events.

    Both are measured on the same resampled customers, so what makes a draw of customers easy or
    hard for every model drops out of the interval.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        customers: Customer of each event, `(num_events,)`.
        first: Probabilities `(num_events,)` and chosen threshold of the first model.
        second: Of the second model.
        seed: Of the bootstrap.
        replicates: Number of bootstrap replicates.

    Returns:
        The difference of each metric, with its interval.

    Raises:
        ValueError: As in `evaluate`.
    """
    models = [ScoredEvents.of(labels, *model) for model in (first, second)]
    customer = _contiguous(customers, len(labels))
    everyone = np.zeros(len(labels), np.int64)
    value, other_value = (model.metrics() for model in models)
    (replicate,), (other_replicate,) = (
        _replicate_metrics(model, customer, [everyone], replicates, seed) for model in models
    )
    return {
        name: with_interval(
            name, value[name] - other_value[name], (replicate[name] - other_replicate[name])[0]
        )
        for name in value
    }


def comparison_table(reports: Mapping[str, Report]) -> pd.DataFrame:
    """Overall metrics of several models, one row each, in the order given.

    Args:
        reports: Report of each model by its name.
    """
    rows = [
        {
            title: report.overall.metrics[name].value
            for name, title in COMPARED.items()
            if name in report.overall.metrics
        }
        | {"threshold": report.threshold}
        for report in reports.values()
    ]
    return pd.DataFrame(rows, index=pd.Index(reports, name="model"))


def _contiguous(customers: np.ndarray, num_events: int) -> np.ndarray:
    if len(customers) != num_events:
        raise ValueError(f"{num_events} labels, but {len(customers)} customers")
    return np.unique(customers, return_inverse=True)[1]


def _large_groups(group: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Number the groups of enough events: their number of each event or -1, and their names."""
    code, names = pd.factorize(np.asarray(group), sort=True)
    sizes = np.bincount(code[code >= 0], minlength=len(names))
    kept = np.flatnonzero(sizes >= FEWEST_EVENTS)
    new_code = np.full(len(names) + 1, -1)
    new_code[kept] = np.arange(len(kept))
    return new_code[code], [str(names[place]) for place in kept]


def _replicate_metrics(
    events: ScoredEvents,
    customer: np.ndarray,
    codes: Sequence[np.ndarray],
    replicates: int,
    seed: int,
) -> list[dict[str, np.ndarray]]:
    """For each numbering of groups, every metric as `(num_groups, replicates)`."""
    sums = replicate_sums(events)
    groupings = [GroupReplicates(sums, customer, code) for code in codes]
    num_customers = int(customer.max()) + 1
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in groupings]
    for draws in customer_draws(num_customers, replicates, seed):
        for part, grouping in zip(parts, groupings, strict=True):
            part.append(grouping.metrics(draws))
    return [
        {name: np.concatenate([block[name] for block in part], axis=1) for name in part[0]}
        for part in parts
    ]


def _group_report(
    events: ScoredEvents, customer: np.ndarray, replicates: Mapping[str, np.ndarray]
) -> GroupReport:
    return GroupReport(
        num_events=len(events),
        num_customers=len(np.unique(customer)),
        base_rate=float(events.labels.mean()),
        metrics={
            name: _share(name, value, replicates[name]) for name, value in events.metrics().items()
        },
    )


def with_interval(name: str, value: float, replicates: np.ndarray) -> Estimate:
    """A figure with the percentile interval of its replicates.

    Args:
        name: Of the metric; decides whether the interval is centred on the figure.
        value: The figure on the events themselves.
        replicates: The figure in each replicate, `(num_replicates,)`, NaN where undefined.
    """
    defined = replicates[~np.isnan(replicates)]
    if np.isnan(value) or 2 * len(defined) < len(replicates):
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(defined, [0.025, 0.975])
    shift = value - defined.mean() if name in CENTRED else 0.0
    return Estimate(value, float(low + shift), float(high + shift))


def _share(name: str, value: float, replicates: np.ndarray) -> Estimate:
    """As `with_interval`, with the ends of a centred interval kept inside [0, 1]."""
    estimate = with_interval(name, value, replicates)
    if name not in CENTRED:
        return estimate
    low, high = np.clip([estimate.low, estimate.high], 0.0, 1.0)
    return Estimate(value, float(low), float(high))
