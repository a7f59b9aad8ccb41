"""The loss that a network was trained on, as a function of its weights alone."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from compression.fisher import require_finite
from compression.problem import Batch, Loader, Problem, batches


@dataclass(frozen=True)
class MeanLoss:
    """The mean negative log-likelihood over all examples of a loader, in nats.

    Attributes:
        problem: Model, likelihood and weights.
        loader: Of batches.
    """

    problem: Problem
    loader: Loader

    @torch.no_grad()
    def value(self, weights: Tensor) -> float:
        """The loss at weights `(size,)`; infinite where it is not a number.

        Raises:
            ExhaustedLoaderError: The loader gives no batch.
        """
        total, num_examples = 0.0, 0
        for batch in batches(self.loader):
            loss, number = self._of_batch(weights, batch)
            total += loss.item() * number
            num_examples += number
        return total / num_examples if math.isfinite(total) else math.inf

    @torch.enable_grad()
    def gradient(self, weights: Tensor) -> Tensor:
        """The gradient at weights `(size,)`, of their shape.

        Raises:
            ExhaustedLoaderError: The loader gives no batch.
            DivergedError: The loss is not finite.
        """
        leaf = weights.detach().requires_grad_()
        total, num_examples = torch.zeros_like(weights), 0
        for batch in batches(self.loader):
            loss, number = self._of_batch(leaf, batch)
            require_finite(loss, "the loss")
            total += torch.autograd.grad(loss, leaf)[0] * number
            num_examples += number
        return total / num_examples

    def _of_batch(self, weights: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """Mean over a batch, and its number of examples."""
        problem = self.problem
        inputs, targets = problem.to_device(batch)
        outputs = problem.outputs(problem.space.values(weights, problem.model), inputs)
        return problem.likelihood.nll(outputs, targets), problem.likelihood.num_examples(outputs)
