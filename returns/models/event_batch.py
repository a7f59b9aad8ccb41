"""A mini-batch of the graph network: what it reads of some targets, as tensors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from returns.aggregation import Runs


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of a batch's targets by one relation, target after target.

    Attributes:
        features: What each neighbour says of its target, float32 `(num_neighbours, width)`.
        target: Place of its target in the batch, int64 `(num_neighbours,)`, ascending.
        lengths: Number of neighbours of each target, int64 `(num_targets,)`.
        presence: How much each neighbour counts, from 0, as if it were not there, to 1,
            `(num_neighbours,)`; None: all count fully.
    """

    features: Tensor
    target: Tensor
    lengths: Tensor
    presence: Tensor | None = None

    @cached_property
    def runs(self) -> Runs:
        """The neighbours of each target as a run; found once for all networks."""
        return Runs(self.target, self.lengths)

    def to(self, place: torch.device) -> "Neighbours":
        """The same where the network is."""
        return Neighbours(
            self.features.to(place, non_blocking=True),
            self.target.to(place, non_blocking=True),
            self.lengths.to(place, non_blocking=True),
            None if self.presence is None else self.presence.to(place, non_blocking=True),
        )

    def part(self, first: int, last: int) -> "Neighbours":
        """Those of the targets from `first` to before `last`."""
        start, stop = int(self.lengths[:first].sum()), int(self.lengths[:last].sum())
        return Neighbours(
            self.features[start:stop],
            self.target[start:stop] - first,
            self.lengths[first:last],
            None if self.presence is None else self.presence[start:stop],
        )


@dataclass(frozen=True)
class Batch:
    """Some targets and all that the network reads of them.

    Attributes:
        positions: Their rows in the `EventSet`, int64 `(num_targets,)`.
        rows: Encoded feature columns, float32 `(num_targets, row_width)`.
        relations: Neighbours by each relation.
        group: Group of each target, numbered from 0 within the batch, int64 `(num_targets,)`,
            the members of a group side by side; None if each target is alone.
    """

    positions: Tensor
    rows: Tensor
    relations: Mapping[str, Neighbours]
    group: Tensor | None

    def to(self, place: torch.device) -> "Batch":
        """The batch where the network is."""
        if self.rows.device == place:
            return self

        return Batch(
            self.positions.to(place, non_blocking=True),
            self.rows.to(place, non_blocking=True),
            {name: each.to(place) for name, each in self.relations.items()},
            None if self.group is None else self.group.to(place, non_blocking=True),
        )

    def pieces(self, size: int) -> Iterator[tuple["Batch", slice]]:
        """Batches of whole groups, each of the fewest targets that are at least so many.

        Args:
            size: Targets of a piece at least; what is left over at the end is left out.

        Yields:
            Each piece, and which targets of this batch it holds.
        """
        ends = self._ends_of_groups()
        first = 0
        while len(later := ends[ends >= first + size]):
            last = int(later[0])
            yield self._part(first, last), slice(first, last)
            first = last

    def _ends_of_groups(self) -> Tensor:
        """One past the last target of each group, ascending."""
        places = torch.arange(1, len(self.rows) + 1)
        if self.group is None:
            return places
        is_last = self.group[1:] != self.group[:-1]
        return places[torch.cat([is_last.cpu(), torch.ones(1, dtype=torch.bool)])]

    def _part(self, first: int, last: int) -> "Batch":
        group = self.group
        if group is not None:
            group = torch.unique(group[first:last], return_inverse=True)[1]
        relations = {name: each.part(first, last) for name, each in self.relations.items()}
        return Batch(self.positions[first:last], self.rows[first:last], relations, group)
