from itertools import cycle

import torch
from torch import nn

from compression.likelihoods import Bernoulli
from pipelines.compression_study.fine_tuning import FineTuning, fine_tuned


def problem():
    """A separable task, and a network that knows nothing of it, half of its weights removed."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 6, generator=generator)
    targets = (inputs[:, 0] > 0).float()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1), nn.Flatten(0)
        ).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.masked_fill_(weight.abs() < weight.abs().median(), 0)
    return network, cycle([(inputs, targets)])


def tuned(steps=60, rate=0.02, seed=0):
    network, batches = problem()
    return network, fine_tuned(network, Bernoulli(), batches, FineTuning(steps, rate), seed)


def test_the_network_learns_and_what_was_removed_stays_removed():
    before, after = tuned()
    inputs, targets = next(problem()[1])
    losses = [float(Bernoulli().nll(each(inputs), targets)) for each in (before, after)]
    assert losses[1] < 0.8 * losses[0]
    assert not after.training
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(old == 0, new == 0)
        assert not torch.equal(old, new)


def test_the_first_network_and_the_global_generator_are_left_as_they_were():
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    before, _ = tuned()
    assert torch.equal(state, torch.random.get_rng_state())
    for old, fresh in zip(before.parameters(), problem()[0].parameters(), strict=True):
        assert torch.equal(old, fresh)


def test_a_seed_fixes_every_bit():
    first, again, other = (tuned(steps=5, seed=seed)[1] for seed in (1, 1, 2))
    weights = [
        torch.cat([w.flatten() for w in each.parameters()]) for each in (first, again, other)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
