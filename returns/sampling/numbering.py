"""Local numbers of the nodes of a subgraph, in order of discovery."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Numbering(Protocol):
    """Numbers keys hop by hop: those of a hop after those of earlier hops, in ascending order.

    Attributes:
        hops: Keys that were new in each hop, ascending, int64.
    """

    hops: list[np.ndarray]

    def add(self, keys: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Number the keys that are new, as one more hop.

        Args:
            keys: Arrays of keys; a key may occur often.

        Returns:
            Number of each key of each array, int32 or int64.
        """


class TableNumbering:
    """Numbers keys through a table of all there can be: a few operations a key."""

    def __init__(self, num_keys: int) -> None:
        """Start empty; keys lie in `0 .. num_keys - 1`, below 2^31 of them."""
        self.hops: list[np.ndarray] = []
        self._count = 0
        self._known = np.zeros(num_keys, dtype=bool)
        self._number = np.empty(num_keys, dtype=np.int32)

    def add(self, keys: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Number the keys that are new, as one more hop; see `Numbering.add`."""
        found = np.zeros(len(self._known), dtype=bool)
        for part in keys:
            found[part] = True
        new = np.flatnonzero(found > self._known)
        self._known[new] = True
        self._number[new] = np.arange(self._count, self._count + len(new))
        self._count += len(new)
        self.hops.append(new)
        return [self._number[part] for part in keys]


class SortedNumbering:
    """Numbers keys by sorting them: of any range, at several times a table's cost."""

    def __init__(self) -> None:
        """Start empty."""
        self.hops: list[np.ndarray] = []
        self._keys = np.empty(0, dtype=np.int64)
        self._number = np.empty(0, dtype=np.int64)

    def add(self, keys: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Number the keys that are new, as one more hop; see `Numbering.add`.

        Keys must not be negative.
        """
        if not keys:
            self.hops.append(np.empty(0, dtype=np.int64))
            return []
        distinct, inverse = np.unique(np.concatenate(keys), return_inverse=True)
        place = np.searchsorted(self._keys, distinct)
        is_new = np.append(self._keys, -1)[place] != distinct
        new = distinct[is_new]
        number = np.append(self._number, -1)[place]
        number[is_new] = np.arange(len(self._keys), len(self._keys) + len(new))
        self._keys = np.insert(self._keys, place[is_new], new)
        self._number = np.insert(self._number, place[is_new], number[is_new])
        self.hops.append(new)
        return np.split(number[inverse], np.cumsum([len(part) for part in keys])[:-1])
