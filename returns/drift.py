"""How far events have moved away from those that a model learned from.

Each column is cut into bins, deciles of the reference or its most frequent levels, and two things
are said of the shares of the bins: how large the change is (the population stability index, PSI)
and whether it is more than noise (a test of homogeneity). Events of one customer are alike, so the
test is Pearson's with the second-order correction of Rao and Scott (1981), whose covariance of the
shares is summed over customers. Over all columns together the false discovery rate is controlled
(Benjamini and Hochberg, 1995): where nothing has moved, one run in twenty says that anything has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.stats import chi2, false_discovery_control

from data.schema import is_categorical
from returns.binning import MISSING, level_bins, quantile_bins

SIGNIFICANCE = 0.05
"""Largest false discovery rate at which a column is said to have moved."""

MODERATE, MAJOR = 0.1, 0.25
"""PSI from which a change is worth a look, and from which it is large (Siddiqi, 2006)."""

PSEUDO_COUNT = 0.5
"""Added to each bin for the PSI, which an empty bin would make infinite."""


class Level(StrEnum):
    """How far a column has moved."""

    STABLE = "stable"
    """No more than noise."""
    MINOR = "minor"
    """More than noise, but little."""
    MODERATE = "moderate"
    """More than noise, PSI of 0.1 or more."""
    MAJOR = "major"
    """More than noise, PSI of 0.25 or more."""


@dataclass(frozen=True)
class Sample:
    """Values of one column in some events.

    Attributes:
        values: Numbers, dates as numbers, or levels; null is a value of its own.
        customers: Customer of each event, int64 `(num_events,)`, numbered alike in all samples.
    """

    values: pa.ChunkedArray
    customers: np.ndarray


@dataclass(frozen=True)
class Pair:
    """A column before and now.

    Attributes:
        reference: In the events that the model learned from.
        current: In the new events.
        categorical: Whether its values are levels rather than quantities.
    """

    reference: Sample
    current: Sample
    categorical: bool


@dataclass(frozen=True)
class Drift:
    """How far one column has moved.

    Attributes:
        psi: Population stability index of the shares.
        p_value: Of the test of homogeneity; NaN where a sample is empty or there is one bin.
        adjusted_p_value: Corrected for the number of columns tested together.
        level: The verdict.
        bins: Name of each bin.
        reference: Share of the reference events in each bin.
        current: Share of the new events in each bin.
    """

    psi: float
    p_value: float
    adjusted_p_value: float
    level: Level
    bins: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """The drift as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Drift":
        """The drift that `to_json` wrote."""
        shares = {name: tuple(content[name]) for name in ("bins", "reference", "current")}
        return cls(**{**content, **shares, "level": Level(content["level"])})


def column_pairs(
    reference: pa.Table,
    reference_customers: np.ndarray,
    current: pa.Table,
    current_customers: np.ndarray,
) -> dict[str, Pair]:
    """Every column of two tables of the same columns, such as `returns.columns.event_columns`.

    Args:
        reference: Feature columns of the events that the model learned from.
        reference_customers: Their customers, int64 `(num_reference,)`.
        current: Feature columns of the new events.
        current_customers: Their customers, int64 `(num_current,)`.
    """
    return {
        field.name: Pair(
            Sample(reference[field.name], reference_customers),
            Sample(current[field.name], current_customers),
            is_categorical(field),
        )
        for field in reference.schema
    }


def measure_drift(pairs: Mapping[str, Pair]) -> dict[str, Drift]:
    """Measure all columns, scores and labels that are watched together.

    Args:
        pairs: Each column before and now.

    Returns:
        The drift of each; a sample without events leaves its column stable.
    """
    counted = {name: _Counted.of(pair) for name, pair in pairs.items()}
    p_values = np.array([each.p_value() for each in counted.values()])
    adjusted = np.full(len(p_values), np.nan)
    tested = ~np.isnan(p_values)
    if tested.any():
        adjusted[tested] = false_discovery_control(p_values[tested])
    return {
        name: Drift(
            psi=(psi := each.psi()),
            p_value=float(p_value),
            adjusted_p_value=float(corrected),
            level=_level(psi, corrected),
            bins=each.bins,
            reference=tuple(each.shares[0].tolist()),
            current=tuple(each.shares[1].tolist()),
        )
        for (name, each), p_value, corrected in zip(
            counted.items(), p_values, adjusted, strict=True
        )
    }


def drift_table(drifts: Mapping[str, Drift]) -> pd.DataFrame:
    """One row per column, the one that moved most first: PSI, p-values, verdict, shares missing."""
    rows = [
        {
            "PSI": drift.psi,
            "p": drift.p_value,
            "adjusted p": drift.adjusted_p_value,
            "level": drift.level.value,
            "missing before": _share_of(drift.bins, drift.reference, MISSING),
            "missing now": _share_of(drift.bins, drift.current, MISSING),
        }
        for drift in drifts.values()
    ]
    table = pd.DataFrame(rows, index=pd.Index(drifts, name="column"))
    return table.sort_values("PSI", ascending=False, kind="stable")


@dataclass(frozen=True)
class _Counted:
    """Events counted by bin and customer.

    Attributes:
        bins: Name of each bin.
        shares: Of the reference and of the new events, float64 `(2, num_bins)`; NaN of no events.
        sizes: Number of reference and of new events.
        influence: What each customer adds to the difference of the shares, less what was to be
            expected, float64 `(num_customers, num_bins)`.
    """

    bins: tuple[str, ...]
    shares: np.ndarray
    sizes: tuple[int, int]
    influence: np.ndarray

    @classmethod
    def of(cls, pair: Pair) -> "_Counted":
        codes, bins = (level_bins if pair.categorical else quantile_bins)(
            pair.reference.values, pair.current.values
        )
        sizes = len(codes[0]), len(codes[1])
        customers = np.concatenate([pair.reference.customers, pair.current.customers])
        customer = np.unique(customers, return_inverse=True)[1]
        num_customers = int(customer.max(initial=-1)) + 1
        parts = np.split(customer, [sizes[0]])
        shares = np.full((2, len(bins)), np.nan)
        influence = np.zeros((num_customers, len(bins)))
        for place, (code, part, size, sign) in enumerate(
            zip(codes, parts, sizes, (-1, 1), strict=True)
        ):
            if not size:
                continue
            cell = part * len(bins) + code
            counts = np.bincount(cell, minlength=influence.size).reshape(influence.shape)
            shares[place] = counts.sum(0) / size
            influence += sign * (counts - counts.sum(1, keepdims=True) * shares[place]) / size
        return cls(bins, shares, sizes, influence)

    def psi(self) -> float:
        """Population stability index, 0 where a sample has no events."""
        if not all(self.sizes):
            return 0.0
        sizes = np.array(self.sizes)[:, None]
        smooth = self.shares * sizes + PSEUDO_COUNT
        smooth /= smooth.sum(1, keepdims=True)
        return float(((smooth[1] - smooth[0]) * np.log(smooth[1] / smooth[0])).sum())

    def p_value(self) -> float:
        """Of Pearson's test of homogeneity, corrected for what customers have in common.

        Pearson's statistic is a quadratic form in the difference of the shares, and without drift
        distributed as a sum of chi-squared variables weighted by the eigenvalues of that form times
        the covariance (Rao and Scott, 1981); a scaled chi-squared variable of the same mean and
        variance stands for it (Satterthwaite).
        """
        if not all(self.sizes) or len(self.bins) < 2:
            return float("nan")
        reference, current = self.sizes
        pooled = (self.shares[0] * reference + self.shares[1] * current) / (reference + current)
        form = 1 / (pooled * (1 / reference + 1 / current))
        statistic = float((form * (self.shares[1] - self.shares[0]) ** 2).sum())
        customers = len(self.influence)
        covariance = self.influence.T @ self.influence * customers / max(customers - 1, 1)
        weighted = form[:, None] * covariance
        mean, square = np.trace(weighted), (weighted * weighted.T).sum()
        if mean <= 0:
            return 1.0
        return float(chi2.sf(statistic * mean / square, mean**2 / square))


def _level(psi: float, adjusted_p_value: float) -> Level:
    if not adjusted_p_value < SIGNIFICANCE:
        return Level.STABLE
    if psi >= MAJOR:
        return Level.MAJOR
    return Level.MODERATE if psi >= MODERATE else Level.MINOR


def _share_of(bins: Sequence[str], shares: Sequence[float], name: str) -> float:
    """Share of the last bin if it has that name; a level may be called alike, but stands before."""
    return shares[-1] if bins and bins[-1] == name else 0.0
