"""Scores of a network on events whose mini-batches are made once for many networks."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from returns.event_set import EventSet
from returns.models.prunable import Prunable

SCORED_AT_ONCE = 1 << 12
"""Events of a batch."""


@dataclass(frozen=True)
class PreparedEvents:
    """Events as a network reads them.

    Attributes:
        batches: Inputs, and the rows of their events.
        number: Of events.
    """

    batches: tuple[tuple[Any, np.ndarray], ...]
    number: int

    @classmethod
    def of(cls, model: Prunable, events: EventSet) -> Self:
        """Make the batches of a model's network."""
        return cls(tuple(model.mini_batches(events, SCORED_AT_ONCE)), len(events))

    def probabilities(self, network: nn.Module) -> np.ndarray:
        """Uncalibrated probability of each event, float64 `(num_events,)`.

        Args:
            network: In evaluation mode.
        """
        log_odds = np.zeros(self.number)
        place = next(network.parameters()).device
        with torch.inference_mode():
            for inputs, rows in self.batches:
                log_odds[rows] = network(inputs.to(place)).double().cpu().numpy()
        probabilities: np.ndarray = expit(log_odds)
        return probabilities
