"""Dropout whose mask is drawn in a tenth of the time that torch's own takes on a CPU."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

STEPS = 1 << 16
"""Probabilities are rounded to one in so many."""


class Dropout(nn.Module):
    """Zeroes each entry with a probability in training, and scales up the others.

    There torch draws entry by entry from its one serial generator, which can take longer than the
    layers around it. Here four entries share a 64-bit number of a numpy generator. On a GPU the
    dropout is torch's own.

    Attributes:
        probability: Of a zero, rounded to `1 / STEPS`.
        generator: Draws the masks; None: one of SFC64, seeded from torch's default generator.
    """

    generator: np.random.Generator | None

    def __init__(self, probability: float) -> None:
        """Set the probability.

        Raises:
            ValueError: It does not lie in [0, 1).
        """
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"a dropout probability lies in [0, 1), not {probability}")
        self._dropped = min(round(probability * STEPS), STEPS - 1)
        self.probability = self._dropped / STEPS
        self.generator = None

    def forward(self, states: Tensor) -> Tensor:
        """Drop entries in training; in evaluation return the states as they are."""
        if not self.training or not self._dropped:
            return states
        if states.device.type != "cpu":
            return F.dropout(states, self.probability)
        generator = self.generator
        if generator is None:
            seed = int(torch.randint(2**63 - 1, ()).item())
            generator = np.random.Generator(np.random.SFC64(seed))
        number = states.numel()
        bits = generator.integers(0, 2**64, -(-number // 4), dtype=np.uint64).view(np.int16)
        drawn = torch.from_numpy(bits[:number]).view(states.shape)
        kept = (drawn >= self._dropped - STEPS // 2).to(states.dtype)
        return states * kept.mul_(1 / (1 - self.probability))

    def extra_repr(self) -> str:
        """The probability, as torch prints modules."""
        return f"probability={self.probability:g}"


def draw_from(network: nn.Module, seed: int) -> None:
    """Let all `Dropout` layers of a network draw from one generator of their own.

    Networks that learn in several threads at once would else take each other's draws.

    Args:
        network: The network.
        seed: Of the generator.
    """
    generator = np.random.Generator(np.random.SFC64(seed))
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.generator = generator
