"""The events that an order line may hear, as lists; see `returns.neighbour_search`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NeighbourLists:
    """The neighbours of each target by one relation, one list after the other.

    Those of target `i` are `events[offsets[i]:offsets[i + 1]]`.

    Attributes:
        offsets: int64 `(num_targets + 1,)`.
        events: Event of each neighbour, int32 `(num_neighbours,)`.
    """

    offsets: np.ndarray
    events: np.ndarray

    def of(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The lists of some targets.

        Args:
            targets: Positions of targets, int64 `(num_selected,)`.

        Returns:
            Number of neighbours of each, int64 `(num_selected,)`, and their events one list after
            the other, int32 `(num_neighbours,)`.
        """
        start = self.offsets[targets]
        lengths = self.offsets[targets + 1] - start
        return np.asarray(lengths), np.asarray(self.events[ranges(start, lengths)])


@dataclass(frozen=True)
class Neighbourhood:
    """What a model may hear of other events.

    Attributes:
        targets: Event of each target, int64 `(num_targets,)`.
        relations: Neighbours of the targets by each relation.
        label: What may be known of each event when it is heard: 1 returned, -1 kept, 0 unknown;
            int8 `(num_events,)`.
        day: Day of each order, int64 `(num_events,)`; None if undated.
        codes: Customer, variant and attribute levels of each event, int32
            `(num_events, num_keys)`, -1 unknown.
        keys: Name of each column of `codes`.
        quantities: Prices, sizes and the like, float32 `(num_events, num_quantities)`, NaN unknown.
        quantity_names: Name of each column of `quantities`.
        group: Targets that are decoded together, int64 `(num_targets,)`: the lines of an order,
            under `paper` all events of a customer; None if each is alone.
        preceding: Targets of earlier groups that are scored apart; they decide where batches begin.
    """

    targets: np.ndarray
    relations: Mapping[str, NeighbourLists]
    label: np.ndarray
    day: np.ndarray | None
    codes: np.ndarray
    keys: tuple[str, ...]
    quantities: np.ndarray
    quantity_names: tuple[str, ...]
    group: np.ndarray | None
    preceding: int = 0


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Where each list begins, and where the last ends, int64 `(num_lists + 1,)`."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ranges(start: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The integers `start[i], start[i] + 1, ...`, `lengths[i]` of them, one after the other."""
    offsets = offsets_of(lengths)
    return np.asarray(np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], lengths))
