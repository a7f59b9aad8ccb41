"""Names of all that is computed of an order line, which no column of its own may have.

What computes it is asked of no line at all, so that no name is written down a second time.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from data.dataset import Dataset
from data.validation import Fault, InputError
from returns.baskets import basket_features, others_mean
from returns.columns import attribute_columns, event_columns
from returns.comparisons import number_against_past, relative_values
from returns.features import calendar_features
from returns.history import dated_history, recent_history, undated_history
from returns.protocol import Protocol

ALL = "all"
"""Key that all orders share, as `returns.history.recent_history` names it."""

_NO_LINES = np.zeros(0, dtype=np.int64)
_NO_FLAGS = np.zeros(0, dtype=bool)
_NO_NUMBERS = np.zeros(0, dtype=np.float64)


def dated_names(
    dataset: Dataset,
    keys: Iterable[str],
    parties: Sequence[str],
    quantities: Iterable[str],
    numbered: Iterable[str],
) -> set[str]:
    """Names of the features that are computed of lines with dates.

    Args:
        dataset: Whose lines they are.
        keys: Names of all keys of the history.
        parties: Those that take part in an order by themselves; the customer comes first.
        quantities: Numeric order columns.
        numbered: Attributes whose levels are numbers.
    """
    day, labels = _NO_LINES, (_NO_LINES, _NO_FLAGS, _NO_LINES)
    codes, values = dict.fromkeys(parties, _NO_LINES), dict.fromkeys(quantities, _NO_NUMBERS)
    history = dated_history(dict.fromkeys(keys, _NO_LINES), day, *labels)
    features = calendar_features(day) | history | recent_history(codes, day, *labels)
    features |= relative_values(values, codes, day, _NO_LINES)
    numbers = dict.fromkeys(numbered, _NO_NUMBERS)
    features |= number_against_past(numbers, _NO_LINES, day, *labels)
    features |= basket_features(dataset, _NO_LINES)
    if "basket" in dataset.events.column_names:
        _, *others = parties
        rates = (f"{name}_earlier_return_rate" for name in others)
        features |= others_mean(_NO_LINES, {rate: history[rate] for rate in rates})
    return set(features)


def undated_names(dataset: Dataset, keys: Iterable[str]) -> set[str]:
    """Names of the features that are computed of lines without dates.

    Args:
        dataset: Whose lines they are.
        keys: Names of all single keys.
    """
    codes = dict.fromkeys(keys, _NO_LINES)
    history = undated_history(
        codes, _NO_LINES, _NO_LINES, _NO_LINES, _NO_FLAGS, _NO_LINES, cross_fit=False
    )
    return set(basket_features(dataset, _NO_LINES) | history)


def refuse_clashes(
    dataset: Dataset, protocol: Protocol, features: set[str], keys: set[str]
) -> None:
    """Refuse columns that would take the place of what is computed, or lose their own to it.

    Args:
        dataset: All events and node rows.
        protocol: Which columns are seen.
        features: Names of computed features.
        keys: Names of computed keys of the history.

    Raises:
        InputError: A column is named like one of the features, or an attribute like a key.
    """
    columns = set(event_columns(dataset, protocol, _NO_LINES).column_names)
    attributes = {name for name, _, _ in attribute_columns(dataset, protocol)}
    message = "a column that is computed for the models has this name"
    remedy = "Rename it: give it another 'name' in the mapping"
    faults = [
        Fault("the dataset", message, remedy, column=name)
        for name in sorted((columns & features) | (attributes & keys))
    ]
    if faults:
        raise InputError(faults)
