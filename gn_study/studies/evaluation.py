"""Loss and accuracy of a network on a part of the data."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

from gn_study.revmlp import RevMLP
from gn_study.studies.study_data import Part

SAMPLES_AT_ONCE = 4096


@dataclass(frozen=True)
class Score:
    """How well a network maps samples to targets.

    Attributes:
        loss: Mean over samples: cross-entropy in nats, or half the squared distance.
        accuracy: Share of samples of the right class; for regression R squared, the share of the
            targets' variance that is explained.
    """

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(model: RevMLP, part: Part) -> Score:
    """Score of a network on all samples of a part."""
    outputs = torch.cat(
        [model(inputs) for inputs in torch.split(part.inputs, SAMPLES_AT_ONCE)]
    ).double()
    if part.targets.is_floating_point():
        targets = part.targets.double()
        squared = (outputs - targets).square().sum()
        around_mean = (targets - targets.mean(dim=0)).square().sum()
        return Score(float(squared / (2 * len(part))), float(1 - squared / around_mean))
    right = (outputs.argmax(dim=1) == part.targets).double().mean()
    return Score(float(F.cross_entropy(outputs, part.targets)), float(right))
