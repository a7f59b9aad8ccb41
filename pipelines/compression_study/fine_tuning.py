"""A short further training of a pruned network; what was removed stays removed."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import nn

from compression.likelihoods import Likelihood
from compression.masking import keep_zeros
from compression.problem import Batch, call

LARGEST_GRADIENT = 1.0
"""Norm that a step's gradient is cut to."""


@dataclass(frozen=True)
class FineTuning:
    """How a pruned network learns on.

    Attributes:
        steps: Of Adam, each on a mini-batch.
        learning_rate: Of the first step; falls to 0 in equal parts.
    """

    steps: int
    learning_rate: float = 1e-3


def fine_tuned(
    network: nn.Module,
    likelihood: Likelihood,
    batches: Iterator[Batch],
    settings: FineTuning,
    seed: int,
) -> nn.Module:
    """A copy of a network that has learned on, its weights of exactly 0 still 0.

    Args:
        network: Pruned.
        likelihood: That it is trained on.
        batches: Of training data, enough for all steps.
        settings: How long and how fast.
        seed: Of dropout; the global generator is not touched.

    Returns:
        In evaluation mode.
    """
    learner = copy.deepcopy(network).train()
    optimizer = torch.optim.Adam(learner.parameters(), settings.learning_rate)
    keep_zeros(learner, optimizer)
    rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, settings.steps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for inputs, targets in islice(batches, settings.steps):
            optimizer.zero_grad()
            loss = likelihood.nll(call(learner, inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(learner.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            rate.step()
    return learner.eval()
