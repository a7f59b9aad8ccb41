"""Optimal Brain Damage: the diagonal of the empirical Fisher matrix (LeCun et al., 1989)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from compression.curvature import CurvatureBase
from compression.errors import NotFittedError
from compression.problem import Loader, Reporter
from compression.rivals.gradients import gradient_rows


class DiagonalFisher(CurvatureBase):
    """Mean squared gradients, plus the damping.

    A diagonal knows nothing of how weights make up for each other, so compensation leaves the
    kept weights as they are.

    Args:
        num_gradients: How many gradients are averaged.
        group: Examples whose mean is one gradient.
    """

    has_forward = True

    def __init__(self, num_gradients: int = 1000, group: int = 1) -> None:
        super().__init__()
        self.num_gradients = num_gradients
        self.group = group
        self._fisher: Tensor | None = None

    def fit(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Average the squares of the gradients at the present weights.

        Raises:
            ExhaustedLoaderError: The loader gives too few gradients.
        """
        space = self.problem.space
        total = torch.zeros(space.size, dtype=space.dtype, device=space.device)
        done = 0
        for rows in gradient_rows(self.problem, loader, self.num_gradients, self.group):
            total += rows.square().sum(dim=0)
            done += len(rows)
            if reporter is not None:
                reporter("gradients", done, self.num_gradients, float(total.mean()) / done)
        self._fisher = total / self.num_gradients

    def forward_product(self, vector: Tensor) -> Tensor:
        """`(F + damping I) vector` on the kept weights."""
        return torch.where(self.mask, self._damped() * vector, 0)

    def inverse_blocks(self, indices: Tensor) -> Tensor:
        """Diagonal matrices on groups `(num_groups, group_size)` of positions."""
        return torch.diag_embed(self.inverse_diagonal()[indices])

    def state_dict(self) -> dict[str, Tensor]:
        """The diagonal, without damping."""
        return {} if self._fisher is None else {"fisher": self._fisher}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take on a diagonal."""
        self._fisher = state.get("fisher")

    def _damped(self) -> Tensor:
        if self._fisher is None:
            raise NotFittedError("DiagonalFisher has no gradients yet; call fit() first")
        return self._fisher + self.problem.damping

    def _diagonal(self) -> Tensor:
        return self._damped().reciprocal()

    def _product(self, vectors: Tensor) -> Tensor:
        return vectors / self._damped()
