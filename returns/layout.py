"""Which feature columns a model was fitted on, and the matrix that tree learners read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from returns.event_set import FeatureMatrix


@dataclass(frozen=True)
class FeatureLayout:
    """Names, order and levels of feature columns.

    Attributes:
        numeric_names: One name per numeric column.
        categorical_names: One name per categorical column.
        levels: Level names of each categorical column, in the order of their codes.
    """

    numeric_names: tuple[str, ...]
    categorical_names: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, features: FeatureMatrix) -> Self:
        """The layout of a feature matrix."""
        return cls(features.numeric_names, features.categorical_names, features.levels)

    @property
    def names(self) -> tuple[str, ...]:
        """Numeric columns, then categorical ones."""
        return self.numeric_names + self.categorical_names

    def require(self, features: FeatureMatrix) -> None:
        """Refuse features that a model fitted on this layout would misread.

        Raises:
            ValueError: Columns or levels differ from those of the fit, or a code stands for no
                level.
        """
        given = FeatureLayout.of(features)
        if given.names != self.names or given.numeric_names != self.numeric_names:
            missing = sorted(set(self.names) - set(given.names))
            unknown = sorted(set(given.names) - set(self.names))
            raise ValueError(
                "the feature columns differ from those of the fit: "
                f"missing {missing}, unknown {unknown}, else their order or kind"
            )
        for name, expected, levels in zip(
            self.categorical_names, self.levels, given.levels, strict=True
        ):
            if levels != expected:
                raise ValueError(f"the levels of feature '{name}' differ from those of the fit")
        for column, name in enumerate(self.categorical_names):
            codes = features.categorical[:, column]
            if len(codes) and not -1 <= codes.min() <= codes.max() < len(self.levels[column]):
                raise ValueError(f"feature '{name}' has a code that stands for no level")

    def to_json(self) -> dict[str, Any]:
        """The layout as JSON values."""
        return {
            "numeric_names": list(self.numeric_names),
            "categorical_names": list(self.categorical_names),
            "levels": [list(levels) for levels in self.levels],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The layout that `to_json` wrote."""
        return cls(
            tuple(content["numeric_names"]),
            tuple(content["categorical_names"]),
            tuple(tuple(levels) for levels in content["levels"]),
        )


def code_matrix(features: FeatureMatrix) -> np.ndarray:
    """Numeric columns, then level codes, in one matrix; NaN stands for unknown in both.

    Args:
        features: Encoded feature columns of `num_events` events.

    Returns:
        float32 `(num_events, num_numeric + num_categorical)`, row-major.
    """
    num_numeric = features.numeric.shape[1]
    width = num_numeric + features.categorical.shape[1]
    matrix = np.empty((len(features), width), dtype=np.float32)
    matrix[:, :num_numeric] = features.numeric
    codes = matrix[:, num_numeric:]
    codes[:] = features.categorical
    codes[codes < 0] = np.nan
    return matrix


def feature_chunks(features: FeatureMatrix, rows_at_once: int) -> Iterator[FeatureMatrix]:
    """Consecutive rows of a feature matrix, as views.

    Args:
        features: Encoded feature columns.
        rows_at_once: Most rows of a chunk.

    Yields:
        The chunks, in row order.
    """
    for start in range(0, len(features), rows_at_once):
        rows = slice(start, start + rows_at_once)
        yield replace(
            features, numeric=features.numeric[rows], categorical=features.categorical[rows]
        )
