"""WoodFisher and M-FAC: the empirical Fisher matrix as few gradients, never as a matrix."""

from collections.abc import Iterator, Mapping

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
        self._factors: list[Tensor] | None = None

    def fit(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Collect the gradients at the present weights.

        Raises:
            ExhaustedLoaderError: The loader gives too few gradients.
        """
        gradients = gradient_matrix(self.problem, loader, self.num_gradients, self.group)
        self._gradients = gradients / self.num_gradients**0.5
        self._factors = None
        if reporter is not None:
            reporter("gradients", self.num_gradients, self.num_gradients, float(gradients.norm()))

    def set_mask(self, mask: Tensor) -> None:
        """Restrict everything to the kept weights, bool `(size,)`."""
        super().set_mask(mask)
        self._factors = None

    def forward_product(self, vector: Tensor) -> Tensor:
        """`(F + damping I) vector` on the kept weights."""
        gradients, kept = self._fitted(), torch.where(self.mask, vector, 0)
        product = self.problem.damping * kept
        for part in self._parts():
            of_part = gradients[:, part]
            product[part] += (of_part @ kept[part]) @ of_part
        return torch.where(self.mask, product, 0)

    def state_dict(self) -> dict[str, Tensor]:
        """The gradients, divided by the root of their number."""
        return {} if self._gradients is None else {"gradients": self._gradients}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take on gradients."""
        self._gradients = state.get("gradients")
        self._factors = None

    def _diagonal(self) -> Tensor:
        diagonal = torch.ones(self.problem.space.size, dtype=torch.float64)
        for columns, factor in self._columns():
            halves = torch.linalg.solve_triangular(
                factor, self._kept(columns).double(), upper=False
            )
            diagonal[columns] -= halves.square().sum(dim=0).cpu()
        space = self.problem.space
        result: Tensor = diagonal / self.problem.damping
        return result.to(space.device, space.dtype)

    def _product(self, vectors: Tensor) -> Tensor:
        product = vectors.clone()
        for part, factor in zip(self._parts(), self._cholesky(), strict=True):
            inner = vectors[..., part] @ self._kept(part).T
            rows = inner.reshape(-1, inner.shape[-1]).double()
            solved = torch.cholesky_solve(rows.T, factor).T.reshape(inner.shape).to(inner.dtype)
            product[..., part] -= solved @ self._kept(part)
        return product / self.problem.damping

    def _fitted(self) -> Tensor:
        if self._gradients is None:
            raise NotFittedError("LowRankFisher has no gradients yet; call fit() first")
        return self._gradients

    def _kept(self, columns: slice) -> Tensor:
        """Some columns of `G / sqrt(m)`, 0 where a weight is removed."""
        return torch.where(self.mask[columns], self._fitted()[:, columns], 0)

    def _parts(self) -> list[slice]:
        """Positions of weights that are not taken for independent."""
        space = self.problem.space
        if not self.by_layer:
            return [slice(0, space.size)]
        return [slice(slots[0].start, slots[-1].stop) for slots in space.layers.values()]

    def _cholesky(self) -> list[Tensor]:
        """Cholesky factor of `G G' / m + damping I` of each part, in double precision."""
        if self._factors is None:
            self._factors = [self._factor(part) for part in self._parts()]
        return self._factors

    def _factor(self, part: slice) -> Tensor:
        number = len(self._fitted())
        inner = torch.zeros(number, number, dtype=torch.float64, device=self._fitted().device)
        for columns in _chunks(part, number):
            some = self._kept(columns).double()
            inner += some @ some.T
        inner.diagonal().add_(self.problem.damping)
        factor: Tensor = torch.linalg.cholesky(inner)
        return factor

    def _columns(self) -> Iterator[tuple[slice, Tensor]]:
        """Positions, as many as fit into memory at once, with their part's factor."""
        number = len(self._fitted())
        for part, factor in zip(self._parts(), self._cholesky(), strict=True):
            for columns in _chunks(part, number):
                yield columns, factor


def _chunks(part: slice, number: int) -> Iterator[slice]:
    step = max(1, LARGEST_PRODUCT // number)
    for first in range(part.start, part.stop, step):
        yield slice(first, min(first + step, part.stop))
