"""Losses of outputs: value, gradient with respect to the outputs, Newton step in their space."""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

Reduction = Literal["mean", "sum"]
"""Whether the loss of a batch is the mean or the sum over its samples; directions are always those
of the sum."""


class OutputLoss(Protocol):
    """A convex loss of outputs.

    Attributes:
        reduction: Of the value over the samples.
    """

    @property
    def reduction(self) -> Reduction:
        """Of the value over the samples."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch, a scalar with gradient."""

    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Gradient of the summed loss, `(num_samples, num_outputs)`."""

    def newton_error(self, outputs: Tensor, error: Tensor) -> Tensor:
        """`H^-1 error`, `(num_samples, num_outputs)`, with the Hessian `H` that is assumed."""


@dataclass(frozen=True)
class SquareLoss:
    """`||f - y||^2 / 2` of each sample; its Hessian is the identity.

    Attributes:
        reduction: Over the samples; over the outputs the loss is always summed.
    """

    reduction: Reduction = "mean"

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch, a scalar with gradient.

        Args:
            outputs: `(num_samples, num_outputs)`.
            targets: `(num_samples, num_outputs)`.
        """
        return _reduced(self.error(outputs, targets).square().sum(1) / 2, self.reduction)

    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Gradient of the summed loss, `(num_samples, num_outputs)`.

        Args:
            outputs: `(num_samples, num_outputs)`.
            targets: `(num_samples, num_outputs)`.

        Raises:
            ValueError: Their shapes differ.
        """
        if targets.shape != outputs.shape:
            shapes = f"{tuple(targets.shape)} and {tuple(outputs.shape)}"
            raise ValueError(f"targets and outputs have different shapes: {shapes}")
        return outputs - targets

    def newton_error(self, outputs: Tensor, error: Tensor) -> Tensor:
        """The error itself."""
        return error


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of softmax outputs, in nats.

    Attributes:
        curvature: `identity` takes the Hessian for the identity, as all released configurations do:
            gradient descent in the space of outputs. `softmax` uses the true Hessian.
        damping: Added to the diagonal of the true Hessian. 0 takes its pseudo-inverse, which grows
            as one by the probability of the right class.
        reduction: Over the samples.
    """

    curvature: Literal["identity", "softmax"] = "identity"
    damping: float = 0.0
    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: The damping is negative, or there is no Hessian that it could damp.
        """
        if self.damping < 0 or (self.damping and self.curvature == "identity"):
            raise ValueError(
                f"damping is {self.damping}: it must be 0 or more, and 0 with curvature identity"
            )

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch, a scalar with gradient.

        Args:
            outputs: Logits, `(num_samples, num_classes)`.
            targets: Classes, int64 `(num_samples,)`, or probabilities shaped as the logits.
        """
        return functional.cross_entropy(outputs, targets, reduction=self.reduction)

    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Gradient of the summed loss, `(num_samples, num_classes)`.

        Args:
            outputs: Logits, `(num_samples, num_classes)`.
            targets: Classes, int64 `(num_samples,)`, or probabilities shaped as the logits.
        """
        if not targets.is_floating_point():
            targets = functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
        return torch.softmax(outputs, dim=1) - targets

    def newton_error(self, outputs: Tensor, error: Tensor) -> Tensor:
        """`H^-1 error`, or what `curvature` makes of it.

        The Hessian `diag(p) - p p^T` of a sample is singular along the constant, in which no error
        lies; with damping it is inverted by Sherman-Morrison.

        Args:
            outputs: Logits, `(num_samples, num_classes)`.
            error: `(num_samples, num_classes)`, without damping of sum nought in each sample.

        Returns:
            `(num_samples, num_classes)`.
        """
        if self.curvature == "identity":
            return error
        probabilities = torch.softmax(outputs, dim=1)
        diagonal = probabilities + self.damping
        scaled = error / diagonal
        if not self.damping:
            # The error of a wrong class is its probability, and their ratio 1 however small they
            # are. Near the least positive numbers both are rounded, or 0: that may be 0 / 0.
            negligible = torch.finfo(probabilities.dtype).tiny
            is_wrong = (probabilities < negligible) & (error.abs() < negligible)
            scaled = torch.where(is_wrong, 1, scaled)
            return scaled - scaled.mean(1, keepdim=True)
        # 1 - p^T D^-1 p, without the cancellation of small dampings, as p sums to one.
        remainder = self.damping * (probabilities / diagonal).sum(1, keepdim=True)
        along = (probabilities * scaled).sum(1, keepdim=True) / remainder
        return scaled + probabilities / diagonal * along


def _reduced(losses: Tensor, reduction: Reduction) -> Tensor:
    return losses.mean() if reduction == "mean" else losses.sum()
