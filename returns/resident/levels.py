"""Looking up what a request names among what is remembered."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa


class Levels:
    """The codes of one key's remembered levels, by their values."""

    def __init__(self, levels: pa.Array) -> None:
        """Number the levels.

        Args:
            levels: Distinct values; code `i` stands for the i-th.
        """
        self._codes = {level: code for code, level in enumerate(levels.to_pylist())}

    def __len__(self) -> int:
        """Number of levels."""
        return len(self._codes)

    def codes(self, levels: pa.Array) -> np.ndarray:
        """Code of each value, -1 where it is not remembered; int64 `(num_values,)`."""
        found = (self._codes.get(level, -1) for level in levels.to_pylist())
        return np.fromiter(found, dtype=np.int64, count=len(levels))


@dataclass(frozen=True)
class Translation:
    """From a request's own codes of one key to those of what is remembered.

    Attributes:
        remembered: Remembered code of each of the request's levels, -1 where there is none; int64
            `(num_levels,)`.
        num_remembered: Number of remembered levels.
    """

    remembered: np.ndarray
    num_remembered: int

    @classmethod
    def of(cls, levels: Levels, own: pa.Array) -> Self:
        """Look up a request's levels.

        Args:
            levels: The remembered ones.
            own: The request's, in the order of its own codes.
        """
        return cls(levels.codes(own), len(levels))

    def known(self, code: np.ndarray) -> np.ndarray:
        """Remembered codes of order lines, -1 unknown or not remembered; int64 `(num_lines,)`.

        Args:
            code: Their own codes, int64 `(num_lines,)`, -1 unknown.
        """
        return np.asarray(np.append(self.remembered, -1)[code])

    def distinct(self, code: np.ndarray) -> np.ndarray:
        """Codes that tell all levels apart, remembered or not, -1 unknown; int64 `(num_lines,)`.

        Args:
            code: Their own codes, int64 `(num_lines,)`, -1 unknown.
        """
        new = self.num_remembered + np.arange(len(self.remembered))
        distinct = np.where(self.remembered >= 0, self.remembered, new)
        return np.asarray(np.append(distinct, -1)[code])
