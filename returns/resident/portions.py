"""A request's order lines in portions that can be scored one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from returns.models.base import ScoringBatches
from returns.neighbourhood import NeighbourLists, offsets_of


@dataclass(frozen=True)
class Portion:
    """Order lines that are scored at a time: whole batches of the model.

    Attributes:
        rows: Their numbers, ascending, int64 `(num_rows,)`.
        preceding: Lines of the portions before.
        complete: Number of the first line that is in a portion after this one: the lines before it
            can be handed over.
    """

    rows: np.ndarray
    preceding: int
    complete: int


@dataclass(frozen=True)
class Groups:
    """The lines of each group.

    Attributes:
        members: Lines of each group, ascending.
        group: Of each line, int32 `(num_lines,)`.
    """

    members: NeighbourLists
    group: np.ndarray

    @classmethod
    def of(cls, group: np.ndarray) -> Self:
        """Sort the lines by group.

        Args:
            group: Of each line, int64 `(num_lines,)`, from 0 without gaps.
        """
        members = np.argsort(group, kind="stable").astype(np.int32)
        return cls(NeighbourLists(offsets_of(np.bincount(group)), members), group.astype(np.int32))

    def rows_of(self, groups: np.ndarray) -> np.ndarray:
        """The lines of some groups, ascending, int64 `(num_rows,)`."""
        _, rows = self.members.of(groups)
        return np.sort(rows).astype(np.int64)

    def companions(self, rows: np.ndarray) -> np.ndarray:
        """Some lines and all others of their groups, ascending, int64."""
        return self.rows_of(np.unique(self.group[rows]))


def portions(
    num_lines: int, batches: ScoringBatches, groups: Groups | None, most: int
) -> Iterator[Portion]:
    """Cut order lines where the model's own batches end.

    Args:
        num_lines: Number of lines.
        batches: How the model batches them.
        groups: Lines that are decided together, numbered by first appearance; None: each is alone.
        most: Lines of a portion; as many more as its last batch takes.

    Yields:
        The portions; one without lines where there are none.
    """
    if batches.size is None or not num_lines:
        yield Portion(np.arange(num_lines), 0, num_lines)
        return
    step = -(-most // batches.size) * batches.size
    if groups is None or not batches.by_group:
        for start in range(0, num_lines, step):
            end = min(start + step, num_lines)
            yield Portion(np.arange(start, end), start, end)
        return
    offsets = groups.members.offsets
    cuts = np.flatnonzero(np.diff(offsets[:-1] // step)) + 1
    for chosen in np.split(np.arange(len(offsets) - 1), cuts):
        preceding, end = int(offsets[chosen[0]]), int(offsets[chosen[-1] + 1])
        # Groups are numbered by first appearance.
        complete = int(groups.members.events[end]) if end < num_lines else num_lines
        yield Portion(groups.rows_of(chosen), preceding, complete)


class WaitingRows:
    """Puts scored lines into the order given; those that come too early wait."""

    def __init__(self) -> None:
        """Begin before the first line."""
        self._rows = np.empty(0, dtype=np.int64)
        self._table: pa.Table | None = None

    def complete(self, portion: Portion, table: pa.Table) -> pa.Table:
        """Take the lines of a portion.

        Args:
            portion: The portion.
            table: What there is of its lines, in its order.

        Returns:
            The lines before `portion.complete` that were not handed over yet, in order.
        """
        if self._table is not None:
            table = pa.concat_tables([self._table, table])
        rows = np.concatenate([self._rows, portion.rows])
        order = np.argsort(rows, kind="stable")
        ready = int(np.searchsorted(rows[order], portion.complete))
        self._rows = rows[order[ready:]]
        if ready == len(rows) and len(rows) == len(portion.rows):
            self._table = None
            return table
        self._table = table.take(pa.array(order[ready:]))
        return table.take(pa.array(order[:ready]))
