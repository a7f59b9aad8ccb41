"""Whether a challenger replaces the champion: better beyond noise, and worse nowhere it matters.

Both models score the same events, and both are measured on the same resampled customers. The
challenger must have the lower cross-entropy beyond noise; neither a guarded slice (a market, new
customers) nor the calibration may get worse beyond noise. Slices are many, so that their tests are
corrected together (Holm, 1979): a challenger as good as the champion everywhere is held back by a
slice in at most one of twenty comparisons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from returns.bootstrap import GroupReplicates, customer_draws, replicate_sums
from returns.evaluation import FEWEST_EVENTS, Estimate, with_interval
from returns.metrics import ScoredEvents

REPLICATES = 1000
"""Bootstrap replicates unless told otherwise."""

FEWEST_CUSTOMERS = 20
"""A group of fewer customers is not guarded: resampling so few says nothing of others like them."""

ROUNDING = 1e-12
"""Deviation of replicates, as a share of the figures, that rounding alone may cause."""

SIGNIFICANCE = 0.05
"""Of the tests of all guarded slices together, each for getting worse."""

ALL = "all"
"""Slice of all events, and its only group."""

COMPARED = ("cross_entropy", "ece", "brier", "roc_auc", "f1_at_threshold")
"""Metrics that a decision tells of; the first two decide."""

Slices = dict[str, tuple[np.ndarray, tuple[str, ...]]]
"""For each way of grouping, number of each event's group or -1, and names of the groups."""


@dataclass(frozen=True)
class Difference:
    """A metric of the challenger less that of the champion.

    Attributes:
        slice: Way of grouping.
        group: Group of events.
        metric: Name of the metric.
        num_events: Number of the group's events.
        challenger: Figure of the challenger.
        champion: Figure of the champion.
        estimate: Their difference with its 95 % interval over customers.
        p_value: That the difference is no more than noise, one-sided, above 0 being worse; NaN
            where it is undefined.
    """

    slice: str
    group: str
    metric: str
    num_events: int
    challenger: float
    champion: float
    estimate: Estimate
    p_value: float


@dataclass(frozen=True)
class Decision:
    """What becomes of a challenger.

    Attributes:
        promote: Whether it replaces the champion.
        reasons: Why, in sentences.
        table: One row per slice, group and metric: figures of both, difference, interval.
    """

    promote: bool
    reasons: tuple[str, ...]
    table: pd.DataFrame


def decide(
    labels: np.ndarray,
    customers: np.ndarray,
    challenger: tuple[np.ndarray, float],
    champion: tuple[np.ndarray, float],
    guarded: Mapping[str, np.ndarray],
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Decision:
    """Decide between two models on events that neither has learned from.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        customers: Customer of each event, `(num_events,)`.
        challenger: Probabilities `(num_events,)` and chosen threshold.
        champion: Likewise.
        guarded: For each way of grouping, the group of each event, None or NaN for none; groups
            of fewer than 50 events or 20 customers are not guarded.
        seed: Of the bootstrap.
        replicates: Number of bootstrap replicates.

    Returns:
        The decision.

    Raises:
        ValueError: There are no events, a label is unknown, or lengths differ.
    """
    models = [ScoredEvents.of(labels, *model) for model in (challenger, champion)]
    customer = np.unique(customers, return_inverse=True)[1]
    if len(customer) != len(labels):
        raise ValueError(f"{len(labels)} labels, but {len(customer)} customers")
    slices: Slices = {ALL: (np.zeros(len(labels), np.int64), (ALL,))}
    slices |= {name: _numbered(group, customer) for name, group in guarded.items()}
    differences = _differences(models, customer, slices, seed, replicates)
    overall = {each.metric: each for each in differences if each.slice == ALL}
    worse = _worse([each for each in differences if each.slice != ALL])
    better = overall["cross_entropy"].estimate.high < 0
    miscalibrated = overall["ece"].estimate.low > 0
    reasons = [_spoken(overall["cross_entropy"], "better beyond noise" if better else "no better")]
    if miscalibrated:
        reasons.append(_spoken(overall["ece"], "calibration is worse"))
    reasons += [_spoken(each, "a guarded slice is worse") for each in worse]
    if better and not miscalibrated and not worse:
        reasons.append("neither calibration nor a guarded slice is worse beyond noise")
    return Decision(
        promote=better and not miscalibrated and not worse,
        reasons=tuple(reasons),
        table=_table(differences),
    )


def better_than_base_rate(
    labels: np.ndarray,
    customers: np.ndarray,
    challenger: tuple[np.ndarray, float],
    base_rate: float,
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Decision:
    """Decide on a first model: it must beat knowing nothing but the return rate of the past.

    Args:
        labels: 1 returned, 0 kept, `(num_events,)`.
        customers: Customer of each event, `(num_events,)`.
        challenger: Probabilities `(num_events,)` and chosen threshold.
        base_rate: Return rate of the training events.
        seed: Of the bootstrap.
        replicates: Number of bootstrap replicates.

    Raises:
        ValueError: As in `decide`.
    """
    constant = np.full(len(labels), base_rate)
    against = decide(
        labels, customers, challenger, (constant, base_rate), {}, seed=seed, replicates=replicates
    )
    loss = against.table.query("metric == 'cross_entropy'").iloc[0]
    promote = bool(loss["high"] < 0)
    verdict = "better" if promote else "no better"
    reason = f"there is no champion; {verdict} than the base rate {base_rate:.3f} alone: " + (
        f"cross-entropy {loss['difference']:+.4f} ({loss['low']:+.4f} to {loss['high']:+.4f})"
    )
    return Decision(promote, (reason,), against.table)


def _numbered(group: np.ndarray, customer: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number the groups of enough events and customers.

    Returns:
        Their number of each event or -1, and their names.
    """
    code, levels = pd.factorize(np.asarray(group, dtype=object), sort=False)
    num_events = np.bincount(code[code >= 0], minlength=len(levels))
    pairs = np.unique(np.stack([code, customer]), axis=1)
    num_customers = np.bincount(pairs[0][pairs[0] >= 0], minlength=len(levels))
    kept = np.flatnonzero((num_events >= FEWEST_EVENTS) & (num_customers >= FEWEST_CUSTOMERS))
    renumbered = np.full(len(levels) + 1, -1)
    renumbered[kept] = np.arange(len(kept))
    return renumbered[code], tuple(str(levels[place]) for place in kept)


def _differences(
    models: Sequence[ScoredEvents],
    customer: np.ndarray,
    slices: Slices,
    seed: int,
    replicates: int,
) -> list[Difference]:
    """Every compared metric of every group."""
    sums = [replicate_sums(model) for model in models]
    layouts = {
        name: [GroupReplicates(each, customer, code) for each in sums]
        for name, (code, _) in slices.items()
    }
    parts: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in slices}
    for draws in customer_draws(int(customer.max()) + 1, replicates, seed):
        for name, layout in layouts.items():
            first, second = (each.metrics(draws) for each in layout)
            parts[name].append({metric: first[metric] - second[metric] for metric in COMPARED})
    differences = []
    for name, (code, groups) in slices.items():
        replicate = {
            metric: np.concatenate([part[metric] for part in parts[name]], axis=1)
            for metric in COMPARED
        }
        for place, group in enumerate(groups):
            figures = [model.part(code == place).metrics() for model in models]
            for metric in COMPARED:
                challenger, champion = (figure[metric] for figure in figures)
                value = challenger - champion
                size = max(abs(challenger), abs(champion))
                differences.append(
                    Difference(
                        slice=name,
                        group=group,
                        metric=metric,
                        num_events=int((code == place).sum()),
                        challenger=challenger,
                        champion=champion,
                        estimate=with_interval(metric, value, replicate[metric][place]),
                        p_value=_worse_by_chance(value, replicate[metric][place], size),
                    )
                )
    return differences


def _worse_by_chance(value: float, replicates: np.ndarray, size: float) -> float:
    """One-sided p-value of a difference above 0, normal with the replicates' deviation.

    Args:
        value: The difference.
        replicates: The difference in each replicate, `(num_replicates,)`, NaN where undefined.
        size: Of the figures that it is the difference of.

    Returns:
        NaN where the replicates differ by no more than rounding: they tell nothing of chance.
    """
    deviation = float(np.nanstd(replicates, ddof=1)) if np.isfinite(replicates).any() else np.nan
    if value == 0:
        return 1.0
    return float(norm.sf(value / deviation)) if deviation > ROUNDING * size else float("nan")


def _worse(slices: Sequence[Difference]) -> list[Difference]:
    """Slices whose cross-entropy got worse, tested together by Holm's method."""
    tested = [
        each for each in slices if each.metric == "cross_entropy" and not np.isnan(each.p_value)
    ]
    ordered = sorted(tested, key=lambda each: each.p_value)
    worse = []
    for place, each in enumerate(ordered):
        if each.p_value > SIGNIFICANCE / (len(ordered) - place):
            break
        worse.append(each)
    return worse


def _spoken(difference: Difference, verdict: str) -> str:
    place = "" if difference.slice == ALL else f" of {difference.slice} {difference.group}"
    estimate = difference.estimate
    metric = difference.metric.replace("cross_entropy", "cross-entropy").replace("ece", "ECE")
    return (
        f"{verdict}: {metric}{place} {difference.challenger:.4f} against "
        f"{difference.champion:.4f}, difference {estimate.value:+.4f} "
        f"({estimate.low:+.4f} to {estimate.high:+.4f})"
    )


def _table(differences: Sequence[Difference]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "slice": each.slice,
            "group": each.group,
            "events": each.num_events,
            "metric": each.metric,
            "challenger": each.challenger,
            "champion": each.champion,
            "difference": each.estimate.value,
            "low": each.estimate.low,
            "high": each.estimate.high,
        }
        for each in differences
    )
