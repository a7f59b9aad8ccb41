"""What the past says of an order's customer, variant and attributes: counts and return rates.

Dated data: of events strictly before the order's day. Undated data, which has no past: of labelled
events of other folds (training) or of the parts before (validation, test). Computed once, used by
every model alike.
"""

from collections.abc import Mapping

import numpy as np

from returns.knowledge import NUM_FOLDS, fold_of

PRIOR_RATE = 0.5
"""Return rate of a key without labels. A constant, so that no label reaches another key."""

PRIOR_STRENGTH = 5.0
"""How many labelled events the prior weighs as much as."""


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
    first_day = int(day.min(initial=0)) - label_delay_days - 1
    span = int(day.max(initial=0)) - first_day + 1
    offset = day - first_day
    for name, key in keys.items():
        code = key * span + offset
        order = np.argsort(code, kind="stable")
        sorted_code = code[order]
        totals = _leading_sums(
            np.stack([labelled[order], labelled[order] & (returned[order] == 1)], axis=1)
        )
        start = np.searchsorted(sorted_code, key[targets] * span)
        before = np.searchsorted(sorted_code, code[targets])
        before_labels = np.searchsorted(sorted_code, code[targets] - label_delay_days)
        labels = totals[before_labels] - totals[start]
        present = key[targets] >= 0
        orders = np.where(present, before - start, 0)
        last = day[order[np.maximum(before - 1, 0)]]
        features |= _describe(name, orders, np.where(present[:, None], labels, 0))
        since = np.where(orders > 0, day[targets] - last, np.nan)
        features[f"{name}_days_since_last"] = since.astype(np.float32)
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
            scaled up to the size of all folds.

    Returns:
        Per key `{key}_earlier_labelled` and `{key}_earlier_return_rate` (smoothed), float32
        `(num_targets,)`.
    """
    labelled = np.flatnonzero(known & (returned >= 0))
    fold = fold_of(customer, variant) if cross_fit else np.zeros(len(customer), dtype=np.int64)
    num_folds = NUM_FOLDS if cross_fit else 1
    features: dict[str, np.ndarray] = {}
    for name, key in keys.items():
        present = labelled[key[labelled] >= 0]
        size = (int(key.max(initial=0)) + 1) * num_folds
        code = key[present] * num_folds + fold[present]
        count = np.bincount(code, minlength=size).reshape(-1, num_folds)
        returns = np.bincount(code, weights=returned[present], minlength=size)
        labels = np.stack([count, returns.reshape(-1, num_folds)], axis=2)
        known_target = key[targets] >= 0
        row = np.where(known_target, key[targets], 0)
        totals = labels.sum(axis=1)[row]
        if cross_fit:
            totals = (totals - labels[row, fold[targets]]) * (num_folds / (num_folds - 1))
        features |= _describe(name, None, np.where(known_target[:, None], totals, 0))
    return features


def _leading_sums(values: np.ndarray) -> np.ndarray:
    """Sums of the rows before each position, int64 `(num_rows + 1, num_columns)`."""
    sums = np.zeros((len(values) + 1, values.shape[1]), dtype=np.int64)
    np.cumsum(values, axis=0, dtype=np.int64, out=sums[1:])
    return sums


def _describe(name: str, orders: np.ndarray | None, labels: np.ndarray) -> dict[str, np.ndarray]:
    labelled, returned = labels[:, 0], labels[:, 1]
    rate = (returned + PRIOR_RATE * PRIOR_STRENGTH) / (labelled + PRIOR_STRENGTH)
    features = {} if orders is None else {f"{name}_earlier_orders": orders.astype(np.float32)}
    features[f"{name}_earlier_labelled"] = labelled.astype(np.float32)
    features[f"{name}_earlier_return_rate"] = rate.astype(np.float32)
    return features
