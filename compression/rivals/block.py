"""oBERT: dense blocks of the empirical Fisher matrix (Kurtic et al., 2022)."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from compression.curvature import CurvatureBase
from compression.errors import NotFittedError
from compression.factored import Factored
from compression.problem import Loader, Reporter
from compression.rivals.gradients import gradient_rows
from compression.rivals.woodbury import add_gradients

GRADIENTS_AT_ONCE = 16
"""Gradients of one step of the recursion: more are faster, and round more."""

BLOCKS_AT_ONCE = 4096
"""Blocks that one step of the recursion updates, to bound its intermediate results."""


class BlockFisher(CurvatureBase):
    """Inverse of the empirical Fisher matrix, blocks of neighbouring weights on its diagonal.

    The last block is filled up with positions that have no gradient.

    Args:
        width: Weights a block; 50 in the paper.
        num_gradients: How many gradients are averaged.
        group: Examples whose mean is one gradient.
    """

    def __init__(self, width: int = 50, num_gradients: int = 1000, group: int = 1) -> None:
        super().__init__()
        self.width = width
        self.num_gradients = num_gradients
        self.group = group
        self._inverse: Tensor | None = None

    def fit(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Add the gradients at the present weights to `damping I`, inverted as it goes.

        Raises:
            ExhaustedLoaderError: The loader gives too few gradients.
        """
        space = self.problem.space
        start = torch.eye(self.width, dtype=space.dtype, device=space.device)
        num_blocks = -(-space.size // self.width)
        inverse = (start / self.problem.damping).repeat(num_blocks, 1, 1)
        done = 0
        for rows in gradient_rows(self.problem, loader, self.num_gradients, self.group):
            for some in torch.split(rows, GRADIENTS_AT_ONCE):
                self._add(inverse, torch.where(self.mask, some, 0))
            done += len(rows)
            if reporter is not None:
                reporter("gradients", done, self.num_gradients, float(inverse[0, 0, 0]))
        self._inverse = inverse

    def set_mask(self, mask: Tensor) -> None:
        """Restrict to the kept weights: the inverse of each block's kept part."""
        super().set_mask(mask)
        if self._inverse is not None:
            self._inverse = _restricted(self._inverse, self._blocks_of(mask), self.problem.damping)

    def state_dict(self) -> dict[str, Tensor]:
        """The inverse blocks, `(num_blocks, width, width)`."""
        return {} if self._inverse is None else {"inverse": self._inverse}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take on inverse blocks."""
        self._inverse = state.get("inverse")

    def factored(self) -> Iterator[Factored]:
        """The blocks, each a grid of one row."""
        inverse = self._fitted()
        positions = torch.arange(1, self.problem.space.size + 1, device=inverse.device)
        # What fills up the last block is 0 there, and -1 once positions begin at 0.
        blocks = self._blocks_of(positions).unsqueeze(1) - 1
        yield Factored(blocks, torch.ones_like(blocks, dtype=inverse.dtype), None, inverse)

    def _add(self, inverse: Tensor, rows: Tensor) -> None:
        blocks = self._blocks_of(rows).transpose(0, 1)
        for first in range(0, len(inverse), BLOCKS_AT_ONCE):
            some = slice(first, first + BLOCKS_AT_ONCE)
            add_gradients(inverse[some], blocks[some], self.num_gradients)

    def _blocks_of(self, vectors: Tensor) -> Tensor:
        """Vectors `(..., size)` as `(..., num_blocks, width)`."""
        missing = -vectors.shape[-1] % self.width
        padded = torch.nn.functional.pad(vectors, (0, missing))
        return padded.view(*vectors.shape[:-1], -1, self.width)

    def _fitted(self) -> Tensor:
        if self._inverse is None:
            raise NotFittedError("BlockFisher has no gradients yet; call fit() first")
        return self._inverse

    def _diagonal(self) -> Tensor:
        diagonal = self._fitted().diagonal(dim1=1, dim2=2)
        return diagonal.reshape(-1)[: self.problem.space.size]

    def _product(self, vectors: Tensor) -> Tensor:
        blocks = self._blocks_of(vectors).unsqueeze(-2)
        product = (blocks @ self._fitted()).squeeze(-2)
        return product.flatten(-2)[..., : vectors.shape[-1]]


def _restricted(inverse: Tensor, kept: Tensor, damping: float) -> Tensor:
    """Inverses of the kept parts of matrices, given the matrices' inverses; 1/damping elsewhere.

    `(A_kk)^-1 = [A^-1]_kk - [A^-1]_kp ([A^-1]_pp)^-1 [A^-1]_pk` for removed positions `p`.

    Args:
        inverse: `(num_blocks, width, width)`.
        kept: Bool `(num_blocks, width)`.
        damping: What stands on the diagonal of `A` where nothing else does.
    """
    removed = ~kept
    identity = torch.eye(inverse.shape[-1], dtype=inverse.dtype, device=inverse.device)
    among_removed = removed.unsqueeze(-1) & removed.unsqueeze(-2)
    across = inverse * (removed.unsqueeze(-1) & kept.unsqueeze(-2))
    schur = torch.where(among_removed, inverse, identity)
    result = inverse - across.transpose(-1, -2) @ torch.linalg.solve(schur, across)
    both_kept = kept.unsqueeze(-1) & kept.unsqueeze(-2)
    return torch.where(both_kept, result, identity / damping)
