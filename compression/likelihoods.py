r"""What a network's outputs say about the targets.

A likelihood gives the loss that the network was trained with, draws targets from the network and
knows the Hessian of the loss in the outputs, from which the Fisher information of the weights
follows (`compression.fisher`).
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional


class Likelihood(nn.Module, ABC):
    """Distribution of targets, given a network's outputs.

    Outputs are split into rows: one row is one example with all numbers that describe its
    distribution. Losses are summed over a row and averaged over rows.
    """

    @abstractmethod
    def rows(self, outputs: Tensor) -> Tensor:
        """Outputs with one example a row, shape `(num_examples, row_width)`."""

    @abstractmethod
    def row_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood of each example in nats, shape `(num_examples,)`."""

    @abstractmethod
    def sample(self, outputs: Tensor, generator: Generator | None = None) -> Tensor:
        """Targets drawn from the network's own distribution.

        Args:
            outputs: Of the network.
            generator: Of random numbers, on the device of the outputs.

        Returns:
            What `nll` takes as targets.
        """

    @abstractmethod
    def hessian_product(self, outputs: Tensor, vectors: Tensor) -> Tensor:
        """Hessian of each example's negative log-likelihood in its outputs, times a vector.

        For these likelihoods it does not depend on the targets, so it is the Fisher information
        of the outputs as well.

        Args:
            outputs: Of the network.
            vectors: One a row, in the shape of the outputs.

        Returns:
            The products, in the shape of the outputs; not divided by the number of examples.
        """

    def nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean negative log-likelihood over examples in nats, shape `()`."""
        return self.row_losses(outputs, targets).mean()

    def num_examples(self, outputs: Tensor) -> int:
        """Number of examples that the outputs describe."""
        return len(self.rows(outputs))

    forward = nll


class Categorical(Likelihood):
    """One of several classes; logits lie in the last dimension of the outputs.

    Every position before the last dimension is an example: outputs `(batch, num_classes)` with
    targets `(batch,)`, or `(batch, length, num_classes)` with `(batch, length)`. Targets are int64.
    """

    def rows(self, outputs: Tensor) -> Tensor:
        """Outputs with one example a row, shape `(num_examples, num_classes)`."""
        return outputs.reshape(-1, outputs.shape[-1])

    def row_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each example, shape `(num_examples,)`."""
        return functional.cross_entropy(self.rows(outputs), targets.reshape(-1), reduction="none")

    def sample(self, outputs: Tensor, generator: Generator | None = None) -> Tensor:
        """A class for each example, int64 in the outputs' shape without the last dimension."""
        probabilities = self.rows(outputs).softmax(dim=-1)
        classes = torch.multinomial(probabilities, 1, generator=generator)
        return classes.reshape(outputs.shape[:-1])

    def hessian_product(self, outputs: Tensor, vectors: Tensor) -> Tensor:
        """`(diag(p) - p p') v` for the class probabilities `p` of each example."""
        probabilities = outputs.softmax(dim=-1)
        weighted = probabilities * vectors
        return weighted - probabilities * weighted.sum(dim=-1, keepdim=True)


class _PerNumber(Likelihood):
    """A likelihood of independent numbers: outputs and targets have one shape, batch first."""

    def rows(self, outputs: Tensor) -> Tensor:
        """Outputs with one example a row; the first dimension counts the examples."""
        return outputs.reshape(len(outputs), -1)


class Bernoulli(_PerNumber):
    """Independent yes-or-no targets; outputs are logits.

    Outputs and targets are `(batch, ...)`; targets lie in [0, 1].
    """

    def row_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy, summed over an example, shape `(batch,)`."""
        targets = targets.to(outputs.dtype).reshape(outputs.shape)
        losses = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
        return self.rows(losses).sum(dim=-1)

    def sample(self, outputs: Tensor, generator: Generator | None = None) -> Tensor:
        """Zeros and ones in the outputs' shape and dtype."""
        return torch.bernoulli(outputs.sigmoid(), generator=generator)

    def hessian_product(self, outputs: Tensor, vectors: Tensor) -> Tensor:
        """`p (1 - p) v` for the probability `p` of each output."""
        probabilities = outputs.sigmoid()
        return probabilities * (1 - probabilities) * vectors


class Gaussian(_PerNumber):
    """Independent normal targets around the outputs, with one scale for all.

    Outputs and targets are `(batch, ...)`.

    Args:
        scale: Standard deviation of the targets, in their own unit.
        learn_scale: Whether the scale is a parameter, learned as its logarithm.
    """

    LOG_TWO_PI: ClassVar[float] = 1.8378770664093453
    log_scale: Tensor

    def __init__(self, scale: float = 1.0, learn_scale: bool = False) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"a scale must be above 0, not {scale}")
        log_scale = torch.tensor(scale, dtype=torch.float64).log()
        if learn_scale:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    @property
    def scale(self) -> Tensor:
        """Standard deviation of the targets, shape `()`."""
        return self.log_scale.exp()

    def row_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Negative log-density, summed over an example, shape `(batch,)`."""
        log_scale = self.log_scale.to(outputs)
        standardised = (
            targets.to(outputs.dtype).reshape(outputs.shape) - outputs
        ) / log_scale.exp()
        return self.rows(standardised.square() / 2 + log_scale + self.LOG_TWO_PI / 2).sum(dim=-1)

    def sample(self, outputs: Tensor, generator: Generator | None = None) -> Tensor:
        """Outputs with normal noise, in their shape and dtype."""
        noise = torch.empty_like(outputs).normal_(generator=generator)
        return outputs + self.scale.to(outputs) * noise

    def hessian_product(self, outputs: Tensor, vectors: Tensor) -> Tensor:
        """`v / scale^2`."""
        return vectors / self.scale.detach().to(vectors).square()

    def log_scale_fisher(self, row_width: int) -> float:
        """Fisher information of the logarithm of the scale for one example: `2 row_width`.

        The scale and the outputs of a normal distribution have no information in common, so this
        is a block of its own.
        """
        return 2.0 * row_width


class Tempered(Likelihood):
    """Another likelihood with every output divided by a temperature.

    An over-confident network has almost no Fisher information where it is sure; a temperature
    above 1 gives the curvature of a less confident one.

    Args:
        likelihood: What the divided outputs are taken for.
        temperature: Above 0; 1 changes nothing.
    """

    def __init__(self, likelihood: Likelihood, temperature: float) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"a temperature must be above 0, not {temperature}")
        self.likelihood = likelihood
        self.temperature = temperature

    def rows(self, outputs: Tensor) -> Tensor:
        """Outputs with one example a row, as they are."""
        return self.likelihood.rows(outputs)

    def row_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood of each example under the divided outputs."""
        return self.likelihood.row_losses(outputs / self.temperature, targets)

    def sample(self, outputs: Tensor, generator: Generator | None = None) -> Tensor:
        """Targets drawn from the tempered distribution."""
        return self.likelihood.sample(outputs / self.temperature, generator)

    def hessian_product(self, outputs: Tensor, vectors: Tensor) -> Tensor:
        """Hessian in the outputs before division: `H(outputs / t) v / t^2`."""
        product = self.likelihood.hessian_product(outputs / self.temperature, vectors)
        return product / self.temperature**2
