"""Feature columns as one dense matrix for models that multiply: linear, perceptron, graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import ndtr, ndtri

from returns.event_set import FeatureMatrix
from returns.layout import FeatureLayout, feature_chunks
from returns.threads import in_threads

MOST_POINTS = 200
"""Most quantiles kept of a numeric column."""

LARGEST_SCORE = 4.0
"""Where the normal scores are cut; beyond it lie 3 of 100,000 values on either side."""

ROWS_AT_ONCE = 1 << 14
"""Rows transformed at a time: few enough for their output to stay in the processor's cache."""


@dataclass(frozen=True)
class NormalScores:
    """A monotone map of one column to normal scores, linear between stored quantiles.

    Attributes:
        values: Strictly increasing values of the column, float64 `(num_points,)`.
        scores: Normal score of each, float64 `(num_points,)`.
    """

    values: np.ndarray
    scores: np.ndarray

    @classmethod
    def fit(cls, column: np.ndarray, weights: np.ndarray) -> Self:
        """Choose the quantiles of a column.

        A value's level is the weighted share of smaller values plus half the share of equal ones,
        so that ties share one score and a constant column scores 0.

        Args:
            column: Values, NaN unknown, float32 `(num_events,)`.
            weights: Weight of each value, `(num_events,)`.
        """
        used = ~np.isnan(column) & (weights > 0)
        if not used.any():
            return cls(np.zeros(1), np.zeros(1))
        known = column[used]
        order = np.argsort(known)
        ascending = known[order].astype(np.float64)
        cumulative = np.cumsum(weights[used][order], dtype=np.float64)
        last_of_value = np.flatnonzero(np.append(ascending[1:] != ascending[:-1], True))
        values = ascending[last_of_value]
        below_or_equal = cumulative[last_of_value] / cumulative[-1]
        levels = (np.append(0.0, below_or_equal[:-1]) + below_or_equal) / 2
        if len(values) > MOST_POINTS:
            wanted = ndtr(np.linspace(-3.0, 3.0, MOST_POINTS - 2))
            inner = np.searchsorted(levels, wanted).clip(max=len(values) - 1)
            chosen = np.unique(np.concatenate([[0], inner, [len(values) - 1]]))
            values, levels = values[chosen], levels[chosen]
        return cls(values, ndtri(levels).clip(-LARGEST_SCORE, LARGEST_SCORE))

    def __call__(self, column: np.ndarray) -> np.ndarray:
        """Normal scores of values, float64; NaN stays NaN, values outside take the end's score."""
        scores: np.ndarray = np.interp(column, self.values, self.scores)
        return scores


class DenseEncoder:
    """Turns features into a dense float32 matrix, by statistics of the training events.

    Numeric columns become normal scores, unknown values 0 (the median) beside an indicator where
    the training events have unknown values. Categorical columns become one column per level, all
    zero for an unknown or unseen level.

    Attributes:
        layout: Columns that were fitted.
        maps: Normal scores of each numeric column.
        indicated: Numbers of the numeric columns with an indicator of unknown values.
    """

    layout: FeatureLayout
    maps: tuple[NormalScores, ...]
    indicated: np.ndarray

    def fit(self, features: FeatureMatrix, weights: np.ndarray) -> Self:
        """Learn the quantiles and which columns have unknown values.

        Args:
            features: Columns of the training events.
            weights: Weight of each event, `(num_events,)`; an event of weight 0 has no influence
                on the quantiles.

        Returns:
            The encoder itself.
        """
        self.layout = FeatureLayout.of(features)
        columns = range(len(self.layout.numeric_names))
        self.maps = tuple(
            NormalScores.fit(features.numeric[:, column], weights) for column in columns
        )
        self.indicated = np.flatnonzero(np.isnan(features.numeric).any(axis=0))
        return self

    @property
    def width(self) -> int:
        """Number of columns of the dense matrix."""
        return len(self.maps) + len(self.indicated) + sum(map(len, self.layout.levels))

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each column of the dense matrix."""
        layout = self.layout
        indicators = (f"{layout.numeric_names[column]} unknown" for column in self.indicated)
        levels = (
            f"{name} = {level}"
            for name, column_levels in zip(layout.categorical_names, layout.levels, strict=True)
            for level in column_levels
        )
        return (*layout.numeric_names, *indicators, *levels)

    def by_column(self, dense: np.ndarray) -> np.ndarray:
        """Sums over the dense columns that one feature column became.

        Args:
            dense: `(num_events, width)`.

        Returns:
            `(num_events, num_columns)`, in the order of the layout's names.
        """
        num_numeric = len(self.maps)
        levels = [len(each) for each in self.layout.levels]
        column = np.concatenate(
            [
                np.arange(num_numeric),
                self.indicated,
                np.repeat(num_numeric + np.arange(len(levels)), levels),
            ]
        )
        sums = np.zeros((len(dense), num_numeric + len(levels)))
        for position in range(sums.shape[1]):
            sums[:, position] = dense[:, column == position].sum(axis=1)
        return sums

    def transform(self, features: FeatureMatrix) -> np.ndarray:
        """Encode events.

        Args:
            features: Columns laid out as those of the fit.

        Returns:
            float32 `(num_events, width)`, row-major, without NaN.

        Raises:
            ValueError: The columns or levels differ from those of the fit.
        """
        self.layout.require(features)
        dense = np.zeros((len(features), self.width), dtype=np.float32)

        def encode(numbered: tuple[int, FeatureMatrix]) -> None:
            number, chunk = numbered
            start = number * ROWS_AT_ONCE
            self._encode(chunk, dense[start : start + len(chunk)])

        for _ in in_threads(encode, enumerate(feature_chunks(features, ROWS_AT_ONCE))):
            pass
        return dense

    def _encode(self, features: FeatureMatrix, dense: np.ndarray) -> None:
        for column, to_scores in enumerate(self.maps):
            dense[:, column] = to_scores(features.numeric[:, column])
        quantities = dense[:, : len(self.maps)]
        unknown = np.isnan(quantities)
        quantities[unknown] = 0.0
        offset = len(self.maps) + len(self.indicated)
        dense[:, len(self.maps) : offset] = unknown[:, self.indicated]
        for column, levels in enumerate(self.layout.levels):
            codes = features.categorical[:, column]
            known = np.flatnonzero(codes >= 0)
            dense[known, offset + codes[known]] = 1.0
            offset += len(levels)

    def to_json(self) -> dict[str, Any]:
        """The fitted encoder as JSON values; the numbers survive to the last bit."""
        return {
            "layout": self.layout.to_json(),
            "values": [scores.values.tolist() for scores in self.maps],
            "scores": [scores.scores.tolist() for scores in self.maps],
            "indicated": self.indicated.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The encoder that `to_json` wrote."""
        encoder = cls()
        encoder.layout = FeatureLayout.from_json(content["layout"])
        encoder.maps = tuple(
            NormalScores(np.asarray(values, np.float64), np.asarray(scores, np.float64))
            for values, scores in zip(content["values"], content["scores"], strict=True)
        )
        encoder.indicated = np.asarray(content["indicated"], dtype=np.int64)
        return encoder
