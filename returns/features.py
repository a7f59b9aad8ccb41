"""One encoding of events for every model: fitted on the training part, stored with the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.schema import is_categorical
from returns.columns import filled, single_precision
from returns.event_set import FeatureMatrix

MOST_LEVELS = 256
"""Columns of more levels are no categorical features; history and graph speak for them."""

FIRST_MONDAY = 4
"""1970-01-05, counted in days since 1970-01-01."""


@dataclass(frozen=True)
class FeatureEncoder:
    """Turns feature columns into numbers and level codes.

    Attributes:
        numeric_names: Numeric columns, in the order of the matrix.
        levels: Per categorical column its levels as text, in the order of their codes.
    """

    numeric_names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]

    @classmethod
    def fit(cls, columns: pa.Table) -> Self:
        """Choose the columns and learn the levels of the categorical ones.

        Args:
            columns: Feature columns of the training events, roles in the field metadata.
        """
        numeric, levels = [], {}
        for field in columns.schema:
            if not is_categorical(field):
                numeric.append(field.name)
                continue
            values = pc.unique(columns[field.name]).cast(pa.string()).drop_null()
            if len(values) <= MOST_LEVELS:
                levels[field.name] = tuple(sorted(values.to_pylist()))
        return cls(tuple(numeric), levels)

    def transform(self, columns: pa.Table) -> FeatureMatrix:
        """Encode events.

        Args:
            columns: Feature columns as in `fit`.

        Returns:
            Numbers with NaN for null and for what float32 cannot hold, codes with -1 for null and
            for levels not seen in `fit`.
        """
        numeric = np.empty((columns.num_rows, len(self.numeric_names)), dtype=np.float32)
        for position, name in enumerate(self.numeric_names):
            numeric[:, position] = _as_float(columns[name])
        categorical = np.empty((columns.num_rows, len(self.levels)), dtype=np.int32)
        for position, (name, levels) in enumerate(self._level_arrays.items()):
            column = columns[name]
            text = column if pa.types.is_string(column.type) else column.cast(pa.string())
            code = pc.index_in(text, value_set=levels)
            categorical[:, position] = filled(code, -1)
        return FeatureMatrix(
            numeric=numeric,
            categorical=categorical,
            numeric_names=self.numeric_names,
            categorical_names=tuple(self.levels),
            levels=tuple(self.levels.values()),
        )

    @cached_property
    def _level_arrays(self) -> dict[str, pa.Array]:
        return {name: pa.array(levels, pa.string()) for name, levels in self.levels.items()}

    def to_json(self) -> dict[str, Any]:
        """The encoder as JSON values."""
        return {"numeric_names": list(self.numeric_names), "levels": dict(self.levels)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The encoder that `to_json` wrote."""
        levels = {name: tuple(values) for name, values in content["levels"].items()}
        return cls(tuple(content["numeric_names"]), levels)


def with_numeric(features: FeatureMatrix, extra: Mapping[str, np.ndarray]) -> FeatureMatrix:
    """The features with further numeric columns appended.

    Args:
        features: Encoded columns.
        extra: Further columns, `(num_events,)` each; what is too large for float32 is unknown.
    """
    if not extra:
        return features
    added = single_precision(np.stack(list(extra.values()), axis=1))
    return FeatureMatrix(
        numeric=np.concatenate([features.numeric, added], axis=1),
        categorical=features.categorical,
        numeric_names=features.numeric_names + tuple(extra),
        categorical_names=features.categorical_names,
        levels=features.levels,
    )


def calendar_features(day: np.ndarray) -> dict[str, np.ndarray]:
    """Day of the week and of the month of each order.

    Args:
        day: Days since 1970-01-01, int64 `(num_events,)`.

    Returns:
        `order_weekday` (Monday 0) and `order_day_of_month` (1 to 31), float32.
    """
    dates = day.astype("datetime64[D]")
    day_of_month = (dates - dates.astype("datetime64[M]")).astype(np.int64) + 1
    return {
        "order_weekday": ((day - FIRST_MONDAY) % 7).astype(np.float32),
        "order_day_of_month": day_of_month.astype(np.float32),
    }


def _as_float(column: pa.ChunkedArray) -> np.ndarray:
    values = column.cast(pa.float64()) if not pa.types.is_floating(column.type) else column
    return single_precision(values.to_numpy(zero_copy_only=False))
