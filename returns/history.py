"""What the past says of an order's customer, variant and attributes: counts and return rates.

Dated data: of events strictly before the order's day. Undated data, which has no past: of labelled
events of other folds (training) or of the parts before (validation, test). Computed once, used by
every model alike.
"""

from collections.abc import Mapping

import numpy as np

from returns.knowledge import NUM_FOLDS, fold_of, taken_for_new
from returns.timeline import Timeline

PRIOR_RATE = 0.5
"""Return rate of a key without labels. A constant, so that no label reaches another key."""

PRIOR_STRENGTH = 5.0
"""How many labelled events the prior weighs as much as."""

RECENT = (3, 15)
"""Numbers of a key's latest labels that make a recent return rate."""

RECENT_OF_ALL = (200, 2000)
"""Numbers of the latest labels of all orders that make the recent base rate."""


def dated_history(
    keys: Mapping[str, np.ndarray],
    day: np.ndarray,
    returned: np.ndarray,
    known: np.ndarray,
    targets: np.ndarray,
    label_delay_days: int = 0,
) -> dict[str, np.ndarray]:
    """History of each target strictly before its own day.

    Args:
        keys: Code of each event per key (customer, variant, brand, ...), int64 `(num_events,)`,
            -1 where unknown.
        day: Day of the order, int64 `(num_events,)`.
        returned: 1 returned, 0 kept, -1 unknown; int8 `(num_events,)`.
        known: Events whose label may be used at all, bool `(num_events,)`.
        targets: Events to describe, int64 `(num_targets,)`.
        label_delay_days: Days after the order until its label is known; a label counts when order
            day + delay lies strictly before the target's day.

    Returns:
        Per key `{key}_earlier_orders` (all earlier events), `{key}_earlier_labelled`,
        `{key}_earlier_return_rate` (smoothed), `{key}_days_since_last` (NaN if none); float32
        `(num_targets,)`.
    """
    labelled = known & (returned >= 0)
    features: dict[str, np.ndarray] = {}
    for name, key in keys.items():
        orders = Timeline.of(key, day, targets)
        labels = Timeline.of(key, day, targets, labelled, label_delay_days)
        features |= earlier_orders(name, orders.count)
        features |= earlier_labels(name, labels.count, labels.total(returned == 1))
        features |= days_since_last(name, day[targets] - orders.last(day))
    return features


def recent_history(
    keys: Mapping[str, np.ndarray],
    day: np.ndarray,
    returned: np.ndarray,
    known: np.ndarray,
    targets: np.ndarray,
    label_delay_days: int = 0,
) -> dict[str, np.ndarray]:
    """What happened lately to each key, and to all orders, strictly before each target's day.

    Return rates drift, with seasons and with a customer's luck: the latest labels say more of the
    next order than old ones.

    Args:
        keys: As in `dated_history`.
        day: As in `dated_history`.
        returned: As in `dated_history`.
        known: As in `dated_history`.
        targets: As in `dated_history`.
        label_delay_days: As in `dated_history`.

    Returns:
        Per key `{key}_last_{n}_return_rate` of its latest `RECENT` labels, smoothed, and
        `{key}_days_since_first` (NaN without an earlier order); `all_last_{n}_return_rate` of the
        latest `RECENT_OF_ALL` labels; float32 `(num_targets,)`.
    """
    labelled = known & (returned >= 0)
    features: dict[str, np.ndarray] = {}
    everything = {"all": np.zeros(len(day), dtype=np.int64)}
    for name, key in {**keys, **everything}.items():
        labels = Timeline.of(key, day, targets, labelled, label_delay_days)
        for most in RECENT_OF_ALL if name == "all" else RECENT:
            features |= latest_labels(name, most, labels.count, labels.total(returned == 1, most))
        if name != "all":
            orders = Timeline.of(key, day, targets)
            features |= days_since_first(name, day[targets] - orders.first(day))
    return features


def undated_history(
    keys: Mapping[str, np.ndarray],
    customer: np.ndarray,
    variant: np.ndarray,
    returned: np.ndarray,
    known: np.ndarray,
    targets: np.ndarray,
    cross_fit: bool,
) -> dict[str, np.ndarray]:
    """History of each target from labelled events other than its own split or fold.

    Args:
        keys: Code of each event per key, int64 `(num_events,)`, -1 where unknown.
        customer: Customer index, int64 `(num_events,)`.
        variant: Variant index, int64 `(num_events,)`.
        returned: 1 returned, 0 kept, -1 unknown; int8 `(num_events,)`.
        known: Events whose label may be used, bool `(num_events,)`.
        targets: Events to describe, int64 `(num_targets,)`.
        cross_fit: Whether the targets are themselves among `known`: then only other folds count,
            scaled up to the size of all folds; the customer's only where it is not
            `returns.knowledge.taken_for_new`.

    Returns:
        Per key `{key}_earlier_labelled` and `{key}_earlier_return_rate` (smoothed), float32
        `(num_targets,)`.
    """
    labelled = known & (returned >= 0)
    fold = fold_of(customer, variant) if cross_fit else np.zeros(len(customer), dtype=np.int64)
    num_folds = NUM_FOLDS if cross_fit else 1
    features: dict[str, np.ndarray] = {}
    for name, key in keys.items():
        labels = totals_of_levels(key, returned, labelled, fold, num_folds)
        known_target = key[targets] >= 0
        if cross_fit and name == "customer":
            known_target &= ~taken_for_new(key[targets])
        row = np.where(known_target, key[targets], 0)
        totals = labels.sum(axis=1)[row]
        if cross_fit:
            totals = (totals - labels[row, fold[targets]]) * (num_folds / (num_folds - 1))
        totals = np.where(known_target[:, None], totals, 0)
        features |= earlier_labels(name, totals[:, 0], totals[:, 1])
    return features


def totals_of_levels(
    key: np.ndarray, returned: np.ndarray, labelled: np.ndarray, fold: np.ndarray, num_folds: int
) -> np.ndarray:
    """Number of labels, and of returns among them, per level of a key and fold.

    Args:
        key: Code of each event, int64 `(num_events,)`, -1 where unknown.
        returned: 1 returned, 0 kept, int8 `(num_events,)`.
        labelled: Events that count, bool `(num_events,)`.
        fold: Of each event, int64 `(num_events,)`.
        num_folds: Number of folds.

    Returns:
        float64 `(num_levels, num_folds, 2)`.
    """
    present = np.flatnonzero(labelled & (key >= 0))
    size = (int(key.max(initial=0)) + 1) * num_folds
    code = key[present] * num_folds + fold[present]
    count = np.bincount(code, minlength=size).reshape(-1, num_folds)
    returns = np.bincount(code, weights=returned[present], minlength=size)
    return np.stack([count, returns.reshape(-1, num_folds)], axis=2)


# The features that tallies of one key become, `(num_targets,)` each.


def earlier_orders(name: str, orders: np.ndarray) -> dict[str, np.ndarray]:
    """Number of earlier orders, float32."""
    return {f"{name}_earlier_orders": orders.astype(np.float32)}


def earlier_labels(name: str, labelled: np.ndarray, returned: np.ndarray) -> dict[str, np.ndarray]:
    """Number of earlier labels, and their smoothed return rate, float32."""
    rate = (returned + PRIOR_RATE * PRIOR_STRENGTH) / (labelled + PRIOR_STRENGTH)
    return {
        f"{name}_earlier_labelled": labelled.astype(np.float32),
        f"{name}_earlier_return_rate": rate.astype(np.float32),
    }


def latest_labels(
    name: str, most: int, labelled: np.ndarray, returned: np.ndarray
) -> dict[str, np.ndarray]:
    """Smoothed return rate of the latest labels, `most` of all `labelled` ones; float32."""
    rate = (returned + 2 * PRIOR_RATE) / (np.minimum(labelled, most) + 2)
    return {f"{name}_last_{most}_return_rate": rate.astype(np.float32)}


def days_since_last(name: str, days: np.ndarray) -> dict[str, np.ndarray]:
    """Days since the latest earlier order, float32."""
    return {f"{name}_days_since_last": days.astype(np.float32)}


def days_since_first(name: str, days: np.ndarray) -> dict[str, np.ndarray]:
    """Days since the earliest order, float32."""
    return {f"{name}_days_since_first": days.astype(np.float32)}
