"""WoodFisher and M-FAC: the empirical Fisher matrix as few gradients, never as a matrix."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from compression.curvature import LARGEST_PRODUCT, CurvatureBase
from compression.errors import NotFittedError
from compression.problem import Loader, Reporter
from compression.rivals.gradients import gradient_matrix


class LowRankFisher(CurvatureBase):
    r"""`G'G / m + damping I` for a matrix `G` of `m` gradients, whole or layer by layer.

    The inverse is taken through the `m x m` matrix of the gradients' inner products, in double
    precision: `(I - G'(G G' + m damping I)^-1 G) / damping`. It equals the recursions of M-FAC
    (Frantar et al., 2021) and, layer by layer, of WoodFisher with full-layer blocks (Singh and
    Alistarh, 2020), without their matrices and with less rounding. CHITA's quadratic is the same.

    Args:
        num_gradients: Rows of `G`.
        group: Examples whose mean is one gradient.
        by_layer: Whether weights of different layers are taken for independent.
    """

    has_forward = True

    def __init__(self, num_gradients: int = 1000, group: int = 16, by_layer: bool = False) -> None:
        super().__init__()
        self.num_gradients = num_gradients
        self.group = group
        self.by_layer = by_layer
        self._gradients: Tensor | None = None
        self._parts: list[_Part] | None = None

    def fit(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Collect the gradients at the present weights.

        Raises:
            ExhaustedLoaderError: The loader gives too few gradients.
        """
        gradients = gradient_matrix(self.problem, loader, self.num_gradients, self.group)
        self._gradients = gradients / self.num_gradients**0.5
        self._parts = None
        if reporter is not None:
            reporter("gradients", self.num_gradients, self.num_gradients, float(gradients.norm()))

    def set_mask(self, mask: Tensor) -> None:
        """Restrict everything to the kept weights, bool `(size,)`."""
        super().set_mask(mask)
        self._parts = None

    def forward_product(self, vector: Tensor) -> Tensor:
        """`(F + damping I) vector` on the kept weights."""
        product = self.problem.damping * vector
        for part in self._kept_parts():
            product[part.positions] += (part.gradients @ vector[part.positions]) @ part.gradients
        return torch.where(self.mask, product, 0)

    def state_dict(self) -> dict[str, Tensor]:
        """The gradients, divided by the root of their number."""
        return {} if self._gradients is None else {"gradients": self._gradients}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take on gradients."""
        self._gradients = state.get("gradients")
        self._parts = None

    def _diagonal(self) -> Tensor:
        space = self.problem.space
        diagonal = torch.ones(space.size, dtype=torch.float64, device=space.device)
        for part in self._kept_parts():
            step = max(1, LARGEST_PRODUCT // len(part.gradients))
            for first in range(0, len(part.positions), step):
                columns = part.gradients[:, first : first + step].double()
                halves = torch.linalg.solve_triangular(part.factor, columns, upper=False)
                diagonal[part.positions[first : first + step]] -= halves.square().sum(dim=0)
        result: Tensor = diagonal / self.problem.damping
        return result.to(space.dtype)

    def _product(self, vectors: Tensor) -> Tensor:
        product = vectors.clone()
        for part in self._kept_parts():
            inner = vectors[..., part.positions] @ part.gradients.T
            rows = inner.reshape(-1, inner.shape[-1]).double()
            solved = torch.cholesky_solve(rows.T, part.factor).T.reshape(inner.shape)
            product[..., part.positions] -= solved.to(inner.dtype) @ part.gradients
        return product / self.problem.damping

    def _kept_parts(self) -> list["_Part"]:
        """Kept weights that are not taken for independent, with what their products need."""
        if self._gradients is None:
            raise NotFittedError("LowRankFisher has no gradients yet; call fit() first")
        if self._parts is None:
            space = self.problem.space
            ranges = [(0, space.size)]
            if self.by_layer:
                ranges = [(slots[0].start, slots[-1].stop) for slots in space.layers.values()]
            kept = self.mask.nonzero().squeeze(1)
            self._parts = [
                self._part(kept[(kept >= start) & (kept < stop)]) for start, stop in ranges
            ]
        return self._parts

    def _part(self, positions: Tensor) -> "_Part":
        assert self._gradients is not None
        gradients = self._gradients
        if len(positions) < gradients.shape[1]:
            gradients = gradients[:, positions]
        inner = torch.zeros(len(gradients), len(gradients), dtype=torch.float64)
        inner = inner.to(gradients.device)
        for columns in torch.split(gradients, max(1, LARGEST_PRODUCT // len(gradients)), dim=1):
            inner += columns.double() @ columns.double().T
        inner.diagonal().add_(self.problem.damping)
        return _Part(positions, gradients, torch.linalg.cholesky(inner))


@dataclass(frozen=True)
class _Part:
    """Weights that are not taken for independent.

    Attributes:
        positions: Of its kept weights, int64 `(number,)`.
        gradients: Their columns of `G / sqrt(m)`, `(m, number)`.
        factor: Cholesky factor of `G G' / m + damping I`, `(m, m)`, in double precision.
    """

    positions: Tensor
    gradients: Tensor
    factor: Tensor
