"""Ranking by magnitude: the identity stands for the curvature."""

from collections.abc import Mapping

import torch
from torch import Tensor

from compression.curvature import CurvatureBase
from compression.problem import Loader, Reporter


class Magnitude(CurvatureBase):
    """Ranks weights by their square; remaining weights are left as they are."""

    compensates = False

    def fit(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Nothing is estimated."""

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Nothing."""

    def _diagonal(self) -> Tensor:
        space = self.problem.space
        return torch.ones(space.size, dtype=space.dtype, device=space.device)

    def _product(self, vectors: Tensor) -> Tensor:
        return vectors
