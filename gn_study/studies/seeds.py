"""One seed for each thing that is drawn, so that each can be logged and repeated alone."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch


@dataclass(frozen=True)
class Seeds:
    """Seeds of one experiment.

    Attributes:
        network: Of the trained weights' beginning, the frozen projections V and the readout U.
        order: Of the order of the training samples.
        augmentation: Of the random crops.
        probes: Of the probe vectors of the stochastic kernel estimate.
        noise: Of the noise that a pseudo-inverse may add to the features.
    """

    network: int
    order: int
    augmentation: int
    probes: int
    noise: int

    @classmethod
    def of(cls, seed: int) -> Self:
        """The independent seeds that one experiment's seed stands for."""
        drawn = np.random.SeedSequence(seed).generate_state(5)
        return cls(*(int(value) for value in drawn))


def generator(seed: int) -> torch.Generator:
    """A generator on the CPU, so that draws do not depend on the device."""
    return torch.Generator().manual_seed(seed)
