"""Optimisers and losses from their options."""

import torch
from torch.optim import SGD, Adam, Optimizer

from gn_study.losses import CrossEntropy, SquareLoss
from gn_study.optimizers import ExactGN, MinNormGN
from gn_study.revmlp import RevMLP
from gn_study.studies.configuration import OptimiserOptions

Loss = CrossEntropy | SquareLoss


def create_loss(is_classification: bool, options: OptimiserOptions) -> Loss:
    """The mean loss of a batch, with the curvature that the optimiser asks for.

    Args:
        is_classification: Whether targets are class numbers.
        options: Of the optimiser.
    """
    if not is_classification:
        return SquareLoss()
    return CrossEntropy(options.curvature, options.curvature_damping)


def create_optimiser(options: OptimiserOptions, model: RevMLP, loss: Loss) -> Optimizer:
    """A new optimiser of the network's trained weights.

    Args:
        options: Of the optimiser.
        model: What it trains.
        loss: What it lowers; Gauss-Newton kinds need its error and curvature.
    """
    if options.name == "gn":
        return ExactGN(
            model,
            lr=options.learning_rate,
            loss=loss,
            weight_decay=options.weight_decay,
            pseudo_inverse=options.pseudo_inverse,
            layer_weights=options.layer_weights,
            cross_term=options.cross_term,
            scheme=options.scheme,
        )
    if options.name == "min_norm_gn":
        return MinNormGN(
            model,
            lr=options.learning_rate,
            loss=loss,
            weight_decay=options.weight_decay,
            pseudo_inverse=options.pseudo_inverse,
        )
    rate, decay = options.learning_rate, options.weight_decay
    if options.name == "adam":
        return Adam(model.parameters(), lr=rate, weight_decay=decay)
    momentum = options.momentum if options.name == "momentum" else 0.0
    return SGD(model.parameters(), lr=rate, momentum=momentum, weight_decay=decay)


def diagnose(optimiser: Optimizer, wanted: bool) -> None:
    """Switch the diagnostics of a Gauss-Newton step on or off; others have none."""
    if isinstance(optimiser, ExactGN | MinNormGN):
        optimiser.diagnose = wanted


def step(model: RevMLP, optimiser: Optimizer, loss: Loss, inputs: torch.Tensor,
         targets: torch.Tensor) -> float:  # fmt: skip
    """One update; the mean loss before it.

    Raises:
        FloatingPointError: The loss is not finite; no weight was changed.
    """

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss(model(inputs), targets)
        if not value.isfinite():
            raise FloatingPointError("the loss is not finite")
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    return float(optimiser.step(closure))  # type: ignore[arg-type]
