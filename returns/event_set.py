"""The events of one split in every form that a model may ask for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import numpy as np
from torch_geometric.data import HeteroData

from returns.neighbourhood import Neighbourhood


@dataclass(frozen=True)
class FeatureMatrix:
    """Feature columns of events, encoded alike for every model.

    Attributes:
        numeric: Quantities in their own units, float32 `(num_events, num_numeric)`, NaN unknown.
        categorical: Level codes, int32 `(num_events, num_categorical)`, -1 unknown or unseen.
        numeric_names: One name per numeric column.
        categorical_names: One name per categorical column.
        levels: Level names of each categorical column; code `i` stands for the i-th.
    """

    numeric: np.ndarray
    categorical: np.ndarray
    numeric_names: tuple[str, ...]
    categorical_names: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.numeric)

    def part(self, rows: np.ndarray) -> Self:
        """Some of the events, by row numbers or mask."""
        return replace(self, numeric=self.numeric[rows], categorical=self.categorical[rows])


@dataclass(frozen=True)
class EventSet:
    """Events to learn from or to score.

    Attributes:
        features: Encoded feature columns.
        labels: 1 returned, 0 kept, -1 unknown; int8 `(num_events,)`.
        weights: Weight of each event in a loss, float32 `(num_events,)`, mean about 1. Under the
            strict protocol they balance the return rate of events whose node row is missing, so
            that missingness caused by the outcome teaches nothing.
        build_graphs: Builds the graphs that score these events; each event is a target of exactly
            one. Several, because the messages that may reach an event depend on when it was
            ordered, see `returns.graph`. Not kept: they are large, and most models need none.
        build_neighbourhood: Finds the events that each event may hear, at most as many by each
            relation as its argument says.
        is_whole: Whether all lines of each event's order are among the events, bool
            `(num_events,)`; None: all are. Of an order some of whose labels are not known yet, the
            others alone would tell whose.
    """

    features: FeatureMatrix
    labels: np.ndarray
    weights: np.ndarray
    build_graphs: Callable[[], Sequence[HeteroData]]
    build_neighbourhood: Callable[[int], Neighbourhood]
    is_whole: np.ndarray | None = None

    @property
    def weights_together(self) -> np.ndarray:
        """Weights for models that decode the lines of an order together: 0 if one is missing."""
        return self.weights if self.is_whole is None else self.weights * self.is_whole

    def __len__(self) -> int:
        """Number of events."""
        return len(self.labels)

    def searched_once(self) -> Self:
        """The same events, whose neighbours are found once and kept, for several uses of them."""
        return replace(self, build_neighbourhood=cache(self.build_neighbourhood))
