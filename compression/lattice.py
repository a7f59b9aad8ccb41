"""Values that rounded weights may have: whole multiples of a step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

LEAST_SHARE, NUM_SHARES = 0.3, 71
"""Steps that are tried reach from this share of the largest weight up to all of it."""


@dataclass(frozen=True)
class Lattice:
    """Multiples of a step from `-limit` to `limit`, with a step for each number.

    Attributes:
        steps: 0 where a number is not rounded, any shape.
        limit: Largest multiple.
    """

    steps: Tensor
    limit: int

    @property
    def is_rounded(self) -> Tensor:
        """Whether each number is rounded at all, bool in the shape of the steps."""
        return self.steps > 0

    def multiples(self, values: Tensor) -> Tensor:
        """Nearest multiple to each value, in the values' shape; 0 where nothing is rounded."""
        steps = torch.where(self.is_rounded, self.steps, torch.inf)
        # Adding 0 makes a negative 0 a plain one.
        return (values / steps).round().clamp(-self.limit, self.limit) + 0

    def nearest(self, values: Tensor) -> Tensor:
        """Nearest allowed value to each; what is not rounded, as it is."""
        return torch.where(self.is_rounded, self.multiples(values) * self.steps, values)

    def at(self, index: Tensor | slice | Sequence[slice | int | Tensor]) -> "Lattice":
        """The lattice of the numbers at an index."""
        return replace(self, steps=self.steps[index])


def least_error_steps(matrix: Tensor, importance: Tensor, limit: int) -> Tensor:
    """A step for each row, whose rounded weights are least wrong.

    Steps are tried with which the largest weight, or some share of it, is the largest multiple:
    finer steps cut off what is largest and round the rest less.

    Args:
        matrix: `(rows, width)`.
        importance: Of a squared error of each weight, `(rows, width)`.
        limit: Largest multiple.

    Returns:
        `(rows,)`, above 0; 1 for rows of nothing but 0.
    """
    largest = matrix.abs().amax(dim=1)
    whole = torch.where(largest > 0, largest / limit, 1).unsqueeze(1)
    best, least = whole, torch.full_like(whole, torch.inf)
    for share in torch.linspace(1, LEAST_SHARE, NUM_SHARES).tolist():
        steps = share * whole
        wrong = Lattice(steps, limit).nearest(matrix) - matrix
        error = (importance * wrong.square()).sum(dim=1, keepdim=True)
        best = torch.where(error < least, steps, best)
        least = torch.minimum(error, least)
    return best.squeeze(1)
