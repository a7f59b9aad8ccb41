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
    values = np.full(len(rows), None, dtype=object)
    for cause in np.unique(causes):
        of_cause, name = causes == cause, contributions.causes[cause]
        details = contributions.details.get(name)
        values[of_cause] = (
            spoken_values(features, name, rows[of_cause])
            if details is None
            else details[rows[of_cause]]
        )
    reasons = pa.StructArray.from_arrays(
        [
            pa.array(np.asarray(contributions.causes, dtype=object)[causes], pa.string()),
            pa.array(values, pa.string()),
            pa.array(log_odds[rows, places]),
        ],
        fields=list(REASON),
    )
    offsets = np.append(0, np.cumsum(np.bincount(rows, minlength=len(contributions))))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), reasons)


def spoken_values(features: FeatureMatrix, column: str, rows: np.ndarray) -> list[str | None]:
    """Values of a feature column as text, None where unknown or where there is no such column.

    Args:
        features: Encoded feature columns.
        column: Name of the column.
        rows: Events wanted, int64 `(num_selected,)`.
    """
    if column in features.numeric_names:
        numbers = features.numeric[rows, features.numeric_names.index(column)]
        return [None if np.isnan(number) else f"{number:.6g}" for number in numbers]
    if column in features.categorical_names:
        place = features.categorical_names.index(column)
        levels = features.levels[place]
        codes = features.categorical[rows, place]
        return [None if code < 0 else levels[code] for code in codes]
    return [None] * len(rows)
