"""A short further training of a pruned network; what was removed stays removed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import nn

from compression.likelihoods import Bernoulli
from compression.masking import keep_zeros
from compression.problem import Batch, call

LARGEST_GRADIENT = 1.0
"""Norm that a step's gradient is cut to."""


@dataclass(frozen=True)
class FineTuning:
    """How a network is pruned while it learns on.

    Attributes:
        stages: In which weights are removed, by the cubic schedule.
        steps: Of Adam after each stage, each on a mini-batch.
        learning_rate: Of the first step after a stage; falls to 0 in equal parts.
    """

    stages: int
    steps: int
    learning_rate: float = 2e-3


def distillation(
    dense: nn.Module, batches: Callable[[], Iterator[Batch]], settings: FineTuning, seed: int
) -> Callable[[nn.Module], None]:
    """Training of a pruned network by the dense one's probabilities, not by labels.

    What the dense network has learned is known already, and its probabilities tell more of it than
    as many labels do (Hinton et al. 2015, arXiv 1503.02531, at temperature 1).

    Args:
        dense: The network before it was pruned, of log-odds, in evaluation mode.
        batches: Begins to go through training data, enough for all steps of a stage.
        settings: How long and how fast.
        seed: Of dropout; the global generator is not touched.

    Returns:
        Trains a network in place, alike at each call; its weights of exactly 0 stay 0.
    """
    likelihood = Bernoulli()

    def fine_tune(network: nn.Module) -> None:
        optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
        handle = keep_zeros(network, optimizer)
        rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, settings.steps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for inputs, _ in islice(batches(), settings.steps):
                with torch.no_grad():
                    probabilities = torch.sigmoid(call(dense, inputs))
                optimizer.zero_grad()
                loss = likelihood.nll(call(network, inputs), probabilities)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
                optimizer.step()
                rate.step()
        handle.remove()

    return fine_tune
