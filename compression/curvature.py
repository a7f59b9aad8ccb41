"""What the Surgeon asks of any estimate of curvature, learned or not."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from compression.errors import NotFittedError
from compression.factored import Factored
from compression.problem import Loader, Problem, Reporter
from compression.saliency import group_saliency

LARGEST_PRODUCT = 2**24
"""Numbers in a stack of vectors that is multiplied at once."""


class Curvature(Protocol):
    """An estimate of `(F + damping I)^-1` on the weights that are kept, 0 elsewhere.

    Vectors are flat over the problem's space, `(size,)`; masks are bool, True where a weight is
    kept.

    Attributes:
        compensates: Whether remaining weights should make up for removed ones; False for
            estimates that only rank, such as magnitude.
        has_forward: Whether `forward_product` is there.
    """

    compensates: bool
    has_forward: bool

    def attach(self, problem: Problem, loader: Loader | None = None) -> None:
        """Be told the problem, once; everything is kept.

        Args:
            problem: Whose curvature it is.
            loader: Of data for products with the curvature itself, until a fit is given its own.
        """

    def fit(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Estimate from nothing, at the model's present weights and the present mask."""

    def refine(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Go on from the present estimate, after weights or mask have changed."""

    def set_mask(self, mask: Tensor) -> None:
        """Restrict everything to the kept weights, bool `(size,)`."""

    def inverse_diagonal(self) -> Tensor:
        """Diagonal of the inverse, `(size,)`."""

    def inverse_product(self, vectors: Tensor) -> Tensor:
        """The inverse times each vector, `(..., size)` in and out."""

    def inverse_blocks(self, indices: Tensor) -> Tensor:
        """Sub-matrices of the inverse on groups `(num_groups, group_size)` of positions."""

    def group_losses(self, weights: Tensor, indices: Tensor) -> Tensor:
        """What removing each group `(num_groups, group_size)` of weights `(size,)` would cost."""

    def factored(self) -> Iterator[Factored] | None:
        """The inverse part by part, all between parts being 0, where it is made so; else None.

        It need not heed the mask.
        """

    def forward_product(self, vector: Tensor) -> Tensor:
        """`(F + damping I) vector` on the kept weights; the same from call to call.

        Raises:
            NotFittedError: Nothing was estimated yet, or there is no such product.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """All that was estimated, as tensors by name."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take on what `state_dict` gave, after `attach`."""


class CurvatureBase(ABC):
    """What estimates of curvature have in common: a problem, a mask, and defaults.

    Subclasses give `fit`, `_diagonal` and `_product`, which need not heed the mask.
    """

    compensates = True
    has_forward = False

    def __init__(self) -> None:
        self._problem: Problem | None = None
        self._loader: Loader | None = None
        self._mask: Tensor | None = None

    @property
    def problem(self) -> Problem:
        """What was attached.

        Raises:
            NotFittedError: Nothing was.
        """
        if self._problem is None:
            raise NotFittedError(
                f"this {type(self).__name__} belongs to no Surgeon yet; give it as curvature="
            )
        return self._problem

    @property
    def mask(self) -> Tensor:
        """Bool `(size,)`, True where a weight is kept."""
        space = self.problem.space
        if self._mask is None:
            return torch.ones(space.size, dtype=torch.bool, device=space.device)
        return self._mask

    def attach(self, problem: Problem, loader: Loader | None = None) -> None:
        """Be told the problem, once; everything is kept."""
        self._problem = problem
        self._loader = loader
        self._mask = None

    @abstractmethod
    def fit(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Estimate from nothing, at the model's present weights and the present mask."""

    def refine(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Go on from the present estimate; here, estimate again."""
        self.fit(loader, reporter)

    def set_mask(self, mask: Tensor) -> None:
        """Restrict everything to the kept weights, bool `(size,)`."""
        self._mask = mask.clone()

    def inverse_diagonal(self) -> Tensor:
        """Diagonal of the inverse, `(size,)`."""
        return torch.where(self.mask, self._diagonal(), 0)

    def inverse_product(self, vectors: Tensor) -> Tensor:
        """The inverse times each vector, `(..., size)` in and out."""
        return torch.where(self.mask, self._product(torch.where(self.mask, vectors, 0)), 0)

    def inverse_blocks(self, indices: Tensor) -> Tensor:
        """Sub-matrices on groups `(num_groups, group_size)`, by products with unit vectors."""
        num_groups, group_size = indices.shape
        size = self.problem.space.size
        step = max(1, LARGEST_PRODUCT // (size * group_size))
        diagonal = self.inverse_diagonal()
        blocks = []
        for first in range(0, num_groups, step):
            some = indices[first : first + step]
            units = torch.zeros(*some.shape, size, dtype=diagonal.dtype, device=diagonal.device)
            units.scatter_(2, some.unsqueeze(2), 1)
            products = self.inverse_product(units)
            blocks.append(products.gather(2, some.unsqueeze(1).expand(-1, group_size, -1)))
        return torch.cat(blocks)

    def group_losses(self, weights: Tensor, indices: Tensor) -> Tensor:
        """What removing each group `(num_groups, group_size)` of weights `(size,)` would cost."""
        step = max(1, LARGEST_PRODUCT // indices.shape[1] ** 2)
        losses = [
            group_saliency(weights, self.inverse_blocks(some), some)
            for some in torch.split(indices, step)
        ]
        return torch.cat(losses)

    def factored(self) -> Iterator[Factored] | None:
        """None."""
        return None

    def forward_product(self, vector: Tensor) -> Tensor:
        """Not there.

        Raises:
            NotFittedError: Always.
        """
        raise NotFittedError(
            f"{type(self).__name__} has no forward product, which JointSelection and "
            "ExactlyCompensated need: use a learned inverse, LowRankFisher, DiagonalFisher or "
            "LayerwiseHessian"
        )

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """All that was estimated, as tensors by name."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take on what `state_dict` gave, after `attach`."""

    @abstractmethod
    def _diagonal(self) -> Tensor:
        """Diagonal of the inverse, `(size,)`."""

    @abstractmethod
    def _product(self, vectors: Tensor) -> Tensor:
        """The inverse times each vector, `(..., size)` in and out."""
