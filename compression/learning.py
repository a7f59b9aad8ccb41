"""An inverse Fisher matrix that is learned by gradient descent, the weights standing still."""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from compression.auxiliary import BETAS, EPSILON, auxiliary_loss, masked
from compression.curvature import CurvatureBase
from compression.errors import NotFittedError
from compression.factored import Factored
from compression.families.layered import make_family
from compression.fisher import (
    drawn_gradient,
    empirical_product,
    fisher_product,
    mean_product,
    sampled_product,
)
from compression.operators import InverseOperator
from compression.problem import Batch, Loader, Problem, Reporter, cycle

FisherKind = Literal["exact", "sampled", "empirical"]
"""Which Fisher product is learned from; see `compression.fisher`."""

STAGE = "curvature"
"""What a reporter is told is being done."""

MEMORY = 0.98
"""Share of the running mean of residuals that a step keeps."""


class LearnedInverse(CurvatureBase):
    """FishLeg's estimate: the inverse Fisher matrix itself is learned on the auxiliary loss.

    Directions are white noise, so that all of the inverse is learned; the weights stand still.
    Learning begins near the inverse of the second moments of gradients at drawn targets (of each
    Kronecker factor, or block), or at `1 / damping` times the identity, and goes on from where it
    is after pruning (`refine`). State that was saved in the middle of a fit goes on from there,
    with the batch that was next.

    Args:
        family: A key of `compression.families.layered.FAMILIES`.
        steps: Of Adam, in a fit.
        refine_steps: Of Adam, in a refinement.
        learning_rate: Of Adam at the beginning of a fit or refinement; falls to 0 as a cosine.
        precondition: Whether the preconditioned auxiliary loss is used.
        plain_steps: Steps at the end of a fit without preconditioning, whose best fit is the
            nearer one for Kronecker families.
        warmup_batches: Batches whose gradients give the beginning of a fit; 0 to begin at
            `1 / damping`.
        tolerance: A fit ends when the running mean of the residual falls below; 0 for never.
        fisher: Which Fisher product is learned from.
        forward_batches: Batches that `forward_product` takes the exact Fisher matrix of.
    """

    has_forward = True

    def __init__(
        self,
        family: str = "kronecker",
        steps: int = 500,
        refine_steps: int = 100,
        learning_rate: float = 3e-4,
        precondition: bool = True,
        plain_steps: int = 0,
        warmup_batches: int = 100,
        tolerance: float = 0.0,
        fisher: FisherKind = "exact",
        forward_batches: int = 8,
    ) -> None:
        super().__init__()
        if min(steps, refine_steps, forward_batches) < 1 or min(plain_steps, warmup_batches) < 0:
            raise ValueError("numbers of steps and batches must be 1 or more (plain, warm-up: 0)")
        self.family = family
        self.steps = steps
        self.refine_steps = refine_steps
        self.learning_rate = learning_rate
        self.precondition = precondition
        self.plain_steps = plain_steps
        self.warmup_batches = warmup_batches
        self.tolerance = tolerance
        self.fisher: FisherKind = fisher
        self.forward_batches = forward_batches
        self.residual = 1.0
        """Running mean of the residual; see `AuxiliaryLoss`."""
        self._done = self._planned = 0
        self._forward: list[Batch] = []
        self._is_restored = False

    def attach(self, problem: Problem, loader: Loader | None = None) -> None:
        """Be told the problem, once; everything is kept, nothing is learned."""
        super().attach(problem, loader)
        self._begin()

    @property
    def operator(self) -> InverseOperator:
        """The matrix that is learned, without the mask."""
        return self._operator

    def fit(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Learn from nothing, or go on with a fit that was saved unfinished.

        Raises:
            ExhaustedLoaderError: The loader runs dry.
            DivergedError: The loss is not finite.
        """
        if not self._takes_up(self.steps):
            self._begin()
            self._done, self._planned = 0, self.steps
            self._warm_up(loader)
        self._learn(loader, reporter, self.steps - self.plain_steps)

    def refine(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Learn on from the present matrix, after weights or mask have changed.

        Raises:
            ExhaustedLoaderError: The loader runs dry.
            DivergedError: The loss is not finite.
        """
        if not self._takes_up(self.refine_steps):
            self._done, self._planned = 0, self.refine_steps
        self._learn(loader, reporter, self.refine_steps if self.plain_steps == 0 else 0)

    def forward_product(self, vector: Tensor) -> Tensor:
        """`(F + damping I) vector` on the kept weights, `F` exact over the first batches.

        Raises:
            NotFittedError: It was given no loader yet.
        """
        if self._loader is None:
            raise NotFittedError("no data was seen yet; call fit or refine first")
        if not self._forward:
            self._forward = list(islice(cycle(self._loader), self.forward_batches))
        kept = masked(vector, self.mask)
        product = mean_product(self.problem, self._forward, kept) + self.problem.damping * kept
        return masked(product, self.mask)

    def state_dict(self) -> dict[str, Tensor]:
        """The matrix, the state of Adam and of the random numbers, and how far learning came."""
        state = {f"operator.{name}": value for name, value in self._operator.state_dict().items()}
        for number, values in self._adam.state_dict()["state"].items():
            state |= {f"adam.{number}.{name}": value for name, value in values.items()}
        state["progress"] = torch.tensor([self._done, self._planned])
        state["residual"] = torch.tensor(self.residual, dtype=torch.float64)
        state["generator"] = self._generator.get_state()
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take on what `state_dict` gave, after `attach`."""
        self._begin()
        prefix = "operator."
        self._operator.load_state_dict(
            {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}
        )
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if name.startswith("adam."):
                _, number, quantity = name.split(".")
                moments.setdefault(int(number), {})[quantity] = value.clone()
        groups = self._adam.state_dict()["param_groups"]
        self._adam.load_state_dict({"state": moments, "param_groups": groups})
        self._done, self._planned = state["progress"].tolist()
        self.residual = float(state["residual"])
        self._generator.set_state(state["generator"].cpu())
        self._is_restored = True

    def _begin(self) -> None:
        problem = self.problem
        self._operator = make_family(self.family, problem.space, 1 / problem.damping)
        self._adam = torch.optim.Adam(
            self._operator.parameters(),
            lr=self.learning_rate,
            betas=BETAS,
            eps=EPSILON,
            fused=True,
        )
        self._generator = problem.generator()
        self.residual = 1.0

    def _takes_up(self, steps: int) -> bool:
        """Whether to go on with what was saved unfinished: once, and never after a failure."""
        is_restored, self._is_restored = self._is_restored, False
        return is_restored and self._planned == steps and 0 < self._done < steps

    @torch.no_grad()
    def _warm_up(self, loader: Loader) -> None:
        """Begin near the inverse of what gradients at drawn targets say of the Fisher matrix."""
        if self.warmup_batches == 0:
            return
        problem = self.problem
        totals: list[Tensor] = []
        for batch in islice(cycle(loader), self.warmup_batches):
            inputs, _ = problem.to_device(batch)
            moments = self._operator.second_moments(
                drawn_gradient(problem, inputs, self._generator)
            )
            before = totals or [torch.zeros_like(moment) for moment in moments]
            totals = [total + moment for total, moment in zip(before, moments, strict=True)]
        means = [total / self.warmup_batches for total in totals]
        self._operator.begin_at(means, problem.damping)

    def _learn(self, loader: Loader, reporter: Reporter | None, plain_from: int) -> None:
        self._loader, self._forward = loader, []
        space = self.problem.space
        batches = islice(cycle(loader), self._done, None)
        while self._done < self._planned:
            for group in self._adam.param_groups:
                group["lr"] = self.learning_rate * self._cosine()
            direction = torch.randn(
                space.size, generator=self._generator, dtype=space.dtype, device=space.device
            )
            loss = auxiliary_loss(
                self._operator,
                self._damped_product(next(batches)),
                direction,
                self._mask,
                self.precondition and self._done < plain_from,
            )
            self._adam.zero_grad()
            loss.surrogate.backward()  # type: ignore[no-untyped-call]
            self._adam.step()
            self._done += 1
            keep = min(MEMORY, 1 - 1 / self._done)
            self.residual = keep * self.residual + (1 - keep) * loss.residual
            if self.residual < self.tolerance:
                self._done = self._planned
            if reporter is not None:
                reporter(STAGE, self._done, self._planned, self.residual)
        self._adam.zero_grad()

    def _cosine(self) -> float:
        return (1 + math.cos(math.pi * self._done / self._planned)) / 2

    def _damped_product(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        problem = self.problem
        inputs, targets = problem.to_device(batch)

        def product(vector: Tensor) -> Tensor:
            match self.fisher:
                case "exact":
                    found = fisher_product(problem, inputs, vector)
                case "sampled":
                    found = sampled_product(problem, inputs, vector, self._generator)
                case "empirical":
                    found = empirical_product(problem, inputs, targets, vector)
            return found + problem.damping * vector

        return product

    @torch.no_grad()
    def factored(self) -> Iterator[Factored]:
        """The learned matrix part by part, without the mask."""
        yield from self._operator.factored()

    @torch.no_grad()
    def _diagonal(self) -> Tensor:
        return self._operator.diagonal()

    @torch.no_grad()
    def _product(self, vectors: Tensor) -> Tensor:
        return self._operator.product(vectors)

    @torch.no_grad()
    def inverse_blocks(self, indices: Tensor) -> Tensor:
        """Sub-matrices on groups `(num_groups, group_size)` of positions, in closed form."""
        kept = self.mask[indices]
        return torch.where(kept.unsqueeze(2) & kept.unsqueeze(1), self._operator.blocks(indices), 0)

    @torch.no_grad()
    def group_losses(self, weights: Tensor, indices: Tensor) -> Tensor:
        """What removing each group `(num_groups, group_size)` of weights `(size,)` would cost.

        Positions that are removed already in all groups alike are left out, so that groups keep
        the shape for which there are short cuts.
        """
        indices = indices.sort(dim=1).values
        kept = self.mask[indices]
        indices = indices[:, kept.any(dim=0)]
        if bool(self.mask[indices].all()):
            return self._operator.group_losses(weights, indices)
        return super().group_losses(weights, indices)
