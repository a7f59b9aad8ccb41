"""Mini-batches of the graph network: rows, neighbours and groups of some targets, as tensors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from returns.dense import DenseEncoder, NormalScores
from returns.event_set import EventSet
from returns.models.event_batch import Batch, Neighbours
from returns.neighbourhood import Neighbourhood, NeighbourLists

MEMORY_DAYS = (7.0, 60.0)
"""Time constants, in days, of the two decays by which a neighbour's age is told."""


@dataclass(frozen=True)
class NeighbourEncoder:
    """Says what a neighbour is to its target; fitted on the training events.

    Attributes:
        keys: Customer, variant and attributes; a neighbour may share their levels.
        scores: Normal scores of each quantity, whose differences are told.
        dated: Whether the age of a neighbour is known.
    """

    keys: tuple[str, ...]
    scores: Mapping[str, NormalScores]
    dated: bool

    @classmethod
    def fit(cls, neighbourhood: Neighbourhood, weights: np.ndarray) -> Self:
        """Learn the scale of the quantities.

        Args:
            neighbourhood: Of the training events.
            weights: Weight of each of them, `(num_targets,)`.
        """
        values = neighbourhood.quantities[neighbourhood.targets]
        scores = {
            name: NormalScores.fit(values[:, column], weights)
            for column, name in enumerate(neighbourhood.quantity_names)
        }
        return cls(neighbourhood.keys, scores, neighbourhood.day is not None)

    @property
    def width(self) -> int:
        """Number of features of a neighbour."""
        plain = 1 + len(self.keys) + 2 * len(self.scores) + len(MEMORY_DAYS) * self.dated
        return 2 * plain

    def prepare(self, neighbourhood: Neighbourhood) -> Neighbourhood:
        """The neighbourhood with its quantities as normal scores, unknown ones NaN.

        Raises:
            ValueError: Keys or quantities differ from those of the fit.
        """
        given = (neighbourhood.keys, neighbourhood.quantity_names, neighbourhood.day is not None)
        if given != (self.keys, tuple(self.scores), self.dated):
            raise ValueError("keys, quantities or dates of the events differ from those of the fit")
        quantities = np.empty_like(neighbourhood.quantities)
        for column, to_scores in enumerate(self.scores.values()):
            quantities[:, column] = to_scores(neighbourhood.quantities[:, column])
        return Neighbourhood(**{**vars(neighbourhood), "quantities": quantities})

    def encode(
        self, neighbourhood: Neighbourhood, lists: NeighbourLists, targets: np.ndarray
    ) -> Neighbours:
        """Encode the neighbours of some targets by one relation.

        A neighbour tells its age, which levels it shares with its target, and by how much its
        quantities differ; then all of that once more, signed by its label.

        Args:
            neighbourhood: What `prepare` gave.
            lists: The relation.
            targets: Positions of the targets, int64 `(num_targets,)`.
        """
        lengths, events = lists.of(targets)
        owner = np.repeat(np.arange(len(targets)), lengths)
        target_event = neighbourhood.targets[targets]
        half = self.width // 2
        # Torch's memory is aligned alike in every process, and with it the last bit of products.
        encoded = torch.empty(len(events), self.width)
        features = encoded.numpy()
        features[:, 0] = 1.0
        column = 1
        if neighbourhood.day is not None:
            day = neighbourhood.day
            age = (day[target_event][owner] - day[events]).astype(np.float32)
            for days in MEMORY_DAYS:
                features[:, column] = np.exp(-age / np.float32(days))
                column += 1
        # Rows are taken in a quarter of the time that indexing takes.
        codes = neighbourhood.codes
        own_codes = codes.take(target_event, axis=0).take(owner, axis=0)
        shared = (codes.take(events, axis=0) == own_codes) & (own_codes >= 0)
        features[:, column : column + len(self.keys)] = shared
        column += len(self.keys)
        quantities = neighbourhood.quantities
        difference = quantities.take(target_event, axis=0).take(owner, axis=0)
        difference -= quantities.take(events, axis=0)
        np.nan_to_num(difference, copy=False)
        width = difference.shape[1]
        features[:, column : column + width] = difference
        np.abs(difference, out=features[:, column + width : half])
        label = neighbourhood.label[events].astype(np.float32)
        np.multiply(features[:, :half], label[:, None], out=features[:, half:])
        return Neighbours(encoded, torch.from_numpy(owner), torch.from_numpy(lengths))

    def to_json(self) -> dict[str, Any]:
        """The encoder as JSON values."""
        return {
            "keys": list(self.keys),
            "scores": {
                name: {"values": scores.values.tolist(), "scores": scores.scores.tolist()}
                for name, scores in self.scores.items()
            },
            "dated": self.dated,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The encoder that `to_json` wrote."""
        scores = {
            name: NormalScores(np.asarray(points["values"]), np.asarray(points["scores"]))
            for name, points in content["scores"].items()
        }
        return cls(tuple(content["keys"]), scores, content["dated"])


class BatchMaker:
    """Cuts events into mini-batches; the members of a group stay together."""

    def __init__(
        self,
        events: EventSet,
        neighbourhood: Neighbourhood,
        rows: DenseEncoder,
        neighbours: NeighbourEncoder,
    ) -> None:
        """Prepare the events once for all batches.

        Args:
            events: The events.
            neighbourhood: Theirs.
            rows: Encoder of feature columns.
            neighbours: Encoder of neighbours.
        """
        self._rows = torch.from_numpy(rows.transform(events.features))
        self._neighbourhood = neighbours.prepare(neighbourhood)
        self._encoder = neighbours
        self._group: np.ndarray | None = None
        self._members = NeighbourLists(
            np.arange(len(events) + 1), np.arange(len(events), dtype=np.int32)
        )
        if neighbourhood.group is not None:
            _, self._group, sizes = np.unique(
                neighbourhood.group, return_inverse=True, return_counts=True
            )
            members = np.argsort(self._group, kind="stable").astype(np.int32)
            self._members = NeighbourLists(np.append(0, np.cumsum(sizes)), members)

    @property
    def relations(self) -> tuple[str, ...]:
        """Names of the relations."""
        return tuple(self._neighbourhood.relations)

    @property
    def is_grouped(self) -> bool:
        """Whether targets come in groups."""
        return self._group is not None

    def num_batches(self, size: int) -> int:
        """Number of batches of about so many events; differs by none to a few with the order."""
        return -(-int(self._members.offsets[-1]) // size)

    def batches(
        self,
        size: int,
        generator: np.random.Generator | None = None,
        part: int = 0,
        num_parts: int = 1,
    ) -> Iterator[Batch]:
        """The events in batches, each event once.

        Args:
            size: As of `cut`, like all below.
            generator: Draws the order of the groups.
            part: Which part of each batch is wanted.
            num_parts: Number of such parts.

        Yields:
            The batches.
        """
        return map(self.batch, self.cut(size, generator, part, num_parts))

    def cut(
        self,
        size: int,
        generator: np.random.Generator | None = None,
        part: int = 0,
        num_parts: int = 1,
        among: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Which groups make up each batch, each group once.

        Args:
            size: Events of a batch, give or take a group.
            generator: Draws the order of the groups; None: as they come.
            part: Which part of each batch is wanted, where several processes share it.
            num_parts: Number of such parts.
            among: Groups that are wanted, int64 `(num_groups,)`; None: all.

        Yields:
            The groups of each batch, int64 `(num_groups,)`; with several parts, this part of them,
            perhaps empty.
        """
        groups = np.arange(len(self._members.offsets) - 1) if among is None else among
        if generator is not None:
            generator.shuffle(groups)
        for chosen in self._cut(groups, size, self._neighbourhood.preceding):
            yield np.array_split(chosen, num_parts)[part]

    def drawn(
        self, size: int, weights: np.ndarray, generator: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Which groups make up each batch of a random sample, each group at most once.

        Args:
            size: Events of a batch, give or take a group.
            weights: Of the events, `(num_events,)`; the chance of a group is in proportion to the
                mean of its own.
            generator: Draws the groups and their order.

        Yields:
            The groups of each batch, int64 `(num_groups,)`.
        """
        sizes = np.diff(self._members.offsets)
        start = self._members.offsets[:-1]
        mean = np.add.reduceat(weights[self._members.events], start) / sizes
        chosen = np.flatnonzero(generator.random(len(mean)) * mean.max() < mean)
        generator.shuffle(chosen)
        yield from self._cut(chosen, size)

    def groups_of(self, rows: np.ndarray) -> np.ndarray:
        """Groups that some events belong to, ascending, int64 `(num_groups,)`.

        Args:
            rows: Events of the set, int64 `(num_selected,)`.
        """
        return np.unique(rows if self._group is None else self._group[rows])

    def outcomes(self, relation: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of neighbours of some events, and of those that were returned.

        Args:
            relation: Name of the relation.
            rows: Events of the set, int64 `(num_selected,)`.
        """
        lengths, events = self._neighbourhood.relations[relation].of(rows)
        owner = np.repeat(np.arange(len(rows)), lengths)
        returned = self._neighbourhood.label[events] == 1
        return lengths, np.bincount(owner, returned, minlength=len(rows)).astype(np.int64)

    def batch(self, groups: np.ndarray) -> Batch:
        """The batch of some groups.

        Args:
            groups: As `cut` gives them, int64 `(num_groups,)`.
        """
        _, members = self._members.of(groups)
        targets = members.astype(np.int64)
        relations = {
            name: self._encoder.encode(self._neighbourhood, lists, targets)
            for name, lists in self._neighbourhood.relations.items()
        }
        group = None
        if self._group is not None:
            _, local = np.unique(self._group[targets], return_inverse=True)
            group = torch.from_numpy(local)
        positions = torch.from_numpy(targets)
        return Batch(positions, self._rows[positions], relations, group)

    def _cut(self, groups: np.ndarray, size: int, preceding: int = 0) -> Iterator[np.ndarray]:
        """Groups in batches of about so many events, in the order given, some events before it."""
        sizes = np.diff(self._members.offsets)[groups]
        batch_of_group = (preceding + np.cumsum(sizes) - sizes) // size
        cuts = np.flatnonzero(np.diff(batch_of_group)) + 1
        return (chosen for chosen in np.split(groups, cuts) if len(chosen))
