"""What the rest of the basket says of an order line, all of it known when the order is placed."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from data.dataset import Dataset
from data.schema import Role, columns_with_role
from returns.columns import level_codes, quantity, quantity_names, take_or


def basket_features(dataset: Dataset, events: np.ndarray) -> dict[str, np.ndarray]:
    """Size of the basket, its sums, and how often it repeats the line's own levels.

    Args:
        dataset: Events with a `basket` column; baskets lie whole among `events`.
        events: Events to describe, int64 `(num_selected,)`.

    Returns:
        `basket_lines`; for each numeric order column `basket_total_{column}` and
        `basket_rank_{column}` (share of the basket's lines with a smaller value); for each
        attribute of the variant `basket_same_{attribute}` (lines with the line's own level).
        float32 `(num_selected,)`; empty without baskets.
    """
    if "basket" not in dataset.events.column_names:
        return {}
    selected = dataset.events.take(pa.array(events))
    _, basket = np.unique(selected["basket"].to_numpy(), return_inverse=True)
    lines = np.bincount(basket)[basket].astype(np.float32)
    features = {"basket_lines": lines}
    for name in quantity_names(selected.schema):
        values = quantity(selected[name])
        total = np.bincount(basket, weights=np.nan_to_num(values))[basket]
        features[f"basket_total_{name}"] = total.astype(np.float32)
        features[f"basket_rank_{name}"] = _share_below(basket, values, lines)
    for name in columns_with_role(dataset.variants.schema, [Role.ATTRIBUTE]):
        level = take_or(level_codes(dataset.variants[name]), selected["variant_row"], -1)
        pair = basket * (int(level.max(initial=0)) + 2) + level + 1
        _, inverse, count = np.unique(pair, return_inverse=True, return_counts=True)
        features[f"basket_same_{name}"] = count[inverse].astype(np.float32)
    return features


def baskets_of(dataset: Dataset, events: np.ndarray) -> np.ndarray | None:
    """Basket of each of some events, int64 `(num_selected,)`; None where there are no baskets."""
    if "basket" not in dataset.events.column_names:
        return None
    return np.asarray(dataset.events["basket"].to_numpy()[events], dtype=np.int64)


def whole_baskets(dataset: Dataset, events: np.ndarray, is_wanted: np.ndarray) -> np.ndarray | None:
    """Whether all lines of each wanted event's basket are wanted.

    Args:
        dataset: All events.
        events: Events among which baskets lie whole, int64 `(num_selected,)`.
        is_wanted: Which of them are wanted, bool `(num_selected,)`.

    Returns:
        bool `(num_wanted,)`; None if all baskets are whole, there are no baskets, or none is whole.
    """
    basket = baskets_of(dataset, events)
    if basket is None or is_wanted.all():
        return None
    _, basket = np.unique(basket, return_inverse=True)
    is_whole = (np.bincount(basket[~is_wanted], minlength=basket.max() + 1) == 0)[basket[is_wanted]]
    return is_whole if is_whole.any() and not is_whole.all() else None


def others_mean(basket: np.ndarray, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mean of a feature over the other lines of each line's basket.

    Args:
        basket: Basket of each selected event, int64 `(num_selected,)`.
        values: Features by name, float32 `(num_selected,)`, without NaN.

    Returns:
        `basket_others_{name}`, float32 `(num_selected,)`, NaN for a line alone in its basket.
    """
    _, basket = np.unique(basket, return_inverse=True)
    others = np.bincount(basket)[basket] - 1.0
    others[others == 0] = np.nan
    features = {}
    for name, value in values.items():
        total = np.bincount(basket, weights=value)[basket]
        features[f"basket_others_{name}"] = ((total - value) / others).astype(np.float32)
    return features


def _share_below(basket: np.ndarray, values: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Share of each basket's lines whose value lies strictly below the line's own."""
    order = np.lexsort((values, basket))
    sorted_basket, sorted_values = basket[order], values[order]
    start = np.searchsorted(sorted_basket, sorted_basket)
    new_value = np.ones(len(order), dtype=bool)
    new_value[1:] = (sorted_basket[1:] != sorted_basket[:-1]) | (
        sorted_values[1:] != sorted_values[:-1]
    )
    first_of_value = np.maximum.accumulate(np.where(new_value, np.arange(len(order)), 0))
    below = np.empty(len(order), dtype=np.float32)
    below[order] = first_of_value - start
    return np.asarray(below / lines)
