import copy
from itertools import repeat

import torch
from torch import nn

from compression.likelihoods import Bernoulli
from pipelines.compression_study.fine_tuning import FineTuning, distillation


def problem():
    """A network of log-odds, the same without its smaller half, and inputs with useless labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dense = nn.Sequential(
            nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1), nn.Flatten(0)
        ).eval()
        inputs, fresh = torch.randn(2, 256, 6)
    with torch.no_grad():
        for weight in dense.parameters():
            weight.mul_(3)
    pruned = copy.deepcopy(dense)
    with torch.no_grad():
        for weight in pruned.parameters():
            weight.masked_fill_(weight.abs() < weight.abs().median(), 0)
    return dense, pruned, inputs, fresh


def tuned(steps=100, rate=0.02, seed=0):
    dense, pruned, inputs, _ = problem()
    settings = FineTuning(1, steps, rate)
    learn = distillation(dense, lambda: repeat((inputs, torch.zeros(256))), settings, seed)
    pruned.train()
    learn(pruned)
    return pruned


def weights_of(network):
    return nn.utils.parameters_to_vector(network.parameters()).detach()


def test_the_network_learns_what_the_dense_one_says_and_zeros_stay():
    dense, before, _, fresh = problem()
    after = tuned().eval()
    said = torch.sigmoid(dense(fresh)).detach()
    with torch.no_grad():
        networks = (dense, before, after)
        least, *losses = (float(Bernoulli().nll(each(fresh), said)) for each in networks)
    assert losses[1] - least < 0.7 * (losses[0] - least)
    assert torch.equal(weights_of(before) == 0, weights_of(after) == 0)


def test_the_dense_network_and_the_global_generator_are_left_as_they_were():
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    dense, pruned, inputs, _ = problem()
    batches = repeat((inputs, torch.zeros(256)))
    distillation(dense, lambda: batches, FineTuning(1, 5), seed=0)(pruned)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(weights_of(dense), weights_of(problem()[0]))
    assert all(weight.grad is None for weight in dense.parameters())


def test_a_seed_fixes_every_bit():
    first, again, other = (weights_of(tuned(steps=5, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
