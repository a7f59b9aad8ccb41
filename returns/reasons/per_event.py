"""The main reasons of each scored event, in words and numbers a person can read."""

import numpy as np
import pyarrow as pa

from returns.event_set import EventSet, FeatureMatrix
from returns.models.base import ReturnClassifier
from returns.reasons.contributions import Contributions, Explainable

REASON = pa.struct(
    [
        pa.field("cause", pa.string(), nullable=False),
        pa.field("value", pa.string()),
        pa.field("log_odds", pa.float64(), nullable=False),
    ]
)
"""A reason: its name, its value for this event, and what it adds to the calibrated log-odds."""


def contributions_of(
    model: ReturnClassifier, events: EventSet, temperature: float, rows: np.ndarray | None = None
) -> Contributions:
    """The account of the calibrated log-odds.

    Args:
        model: A fitted classifier.
        events: All events that are scored together.
        temperature: Of the calibration.
        rows: Which of them to account for, int64 `(num_selected,)`; None: all.

    Raises:
        TypeError: The model cannot account for its log-odds.
    """
    if not isinstance(model, Explainable):
        raise TypeError(f"the model '{model.name}' gives no reasons")
    rows = np.arange(len(events)) if rows is None else rows
    return model.contributions(events, rows).scaled(1 / temperature)


def main_reasons(contributions: Contributions, features: FeatureMatrix, most: int) -> pa.Array:
    """The strongest causes of each event, those that add nothing left out.

    Args:
        contributions: What each cause adds.
        features: Feature columns of the same events.
        most: Reasons of an event at most.

    Returns:
        A list of `REASON` for each event.
    """
    chosen = contributions.strongest(most)
    log_odds = np.take_along_axis(contributions.log_odds, chosen, axis=1)
    rows, places = np.nonzero(log_odds)
    causes = chosen[rows, places]
    reasons = pa.StructArray.from_arrays(
        [
            pa.array(contributions.causes, pa.string()).take(pa.array(causes)),
            _values(contributions, features, causes, rows),
            pa.array(log_odds[rows, places]),
        ],
        fields=list(REASON),
    )
    offsets = np.append(0, np.cumsum(np.bincount(rows, minlength=len(contributions))))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), reasons)


def _values(
    contributions: Contributions, features: FeatureMatrix, causes: np.ndarray, rows: np.ndarray
) -> pa.Array:
    """What each cause is for its event, string, one after the other as causes and rows are."""
    order = np.argsort(causes, kind="stable")
    cuts = np.flatnonzero(np.diff(causes[order])) + 1
    texts = [pa.array([], pa.string())]
    for of_cause in np.split(order, cuts) if len(order) else []:
        name = contributions.causes[causes[of_cause[0]]]
        details = contributions.details.get(name)
        if details is None:
            texts.append(spoken_values(features, name, rows[of_cause]))
        else:
            texts.append(details.take(pa.array(rows[of_cause])))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return pa.concat_arrays(texts).take(pa.array(place))


def spoken_values(features: FeatureMatrix, column: str, rows: np.ndarray) -> pa.Array:
    """Values of a feature column as text, null where unknown or where there is no such column.

    Args:
        features: Encoded feature columns.
        column: Name of the column.
        rows: Events wanted, int64 `(num_selected,)`.
    """
    if column in features.numeric_names:
        numbers = features.numeric[rows, features.numeric_names.index(column)]
        # Told apart by their bits, so that 0 and -0 are two numbers; each is put into words once.
        distinct, code = np.unique(numbers.view(np.int32), return_inverse=True)
        texts = [
            None if np.isnan(number) else f"{number:.6g}" for number in distinct.view(np.float32)
        ]
        return pa.array(texts, pa.string()).take(pa.array(code))
    if column in features.categorical_names:
        place = features.categorical_names.index(column)
        codes = features.categorical[rows, place]
        levels = pa.array(features.levels[place], pa.string())
        return levels.take(pa.array(codes, mask=codes < 0))
    return pa.nulls(len(rows), pa.string())
