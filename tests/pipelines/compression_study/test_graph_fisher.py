"""The Surgeon's curvature of the graph network, against gradients of each event by autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from compression.fisher import fisher_product, loss_gradient
from compression.likelihoods import Bernoulli
from compression.parameters import collect_parameters
from compression.problem import Problem
from compression.rivals.gradients import gradient_matrix
from data.dataset import index_tables
from data.reporter import SilentReporter
from returns.models.gnn import GNN
from returns.preparation import Preparation
from returns.protocol import Protocol

NUM_EVENTS = 24


def in_double(batch):
    relations = {
        name: replace(each, features=each.features.double())
        for name, each in batch.relations.items()
    }
    return replace(batch, rows=batch.rows.double(), relations=relations)


@pytest.fixture
def problem_and_batch(make_tables):
    dataset, _ = index_tables(make_tables())
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    train = preparation.event_set(dataset, "train")
    model = GNN(members=2, epochs=1, hidden=8, heads=2)
    model.fit(train, preparation.event_set(dataset, "validation"), SilentReporter())
    network = model.network.double().eval()
    inputs, rows = next(model.mini_batches(train, NUM_EVENTS, np.random.default_rng(0)))
    targets = torch.from_numpy(train.labels[rows].astype(np.float64))
    problem = Problem(network, Bernoulli(), collect_parameters(network))
    return problem, (in_double(inputs), targets)


def gradients_of_outputs(problem, inputs):
    """Gradient of each event's log-odds in the covered weights, `(num_targets, size)`."""
    weights = problem.space.of(problem.model)
    outputs = problem.model(inputs)
    rows = [
        torch.autograd.grad(
            output, list(weights.values()), retain_graph=True, materialize_grads=True
        )
        for output in outputs
    ]
    jacobian = [problem.space.flatten(dict(zip(weights, row, strict=True))) for row in rows]
    return torch.stack(jacobian), outputs.detach()


def test_products_are_those_of_the_dense_matrix(problem_and_batch):
    problem, (inputs, targets) = problem_and_batch
    jacobian, outputs = gradients_of_outputs(problem, inputs)
    certainty = outputs.sigmoid() * (1 - outputs.sigmoid())
    vector = torch.randn(problem.space.size, generator=torch.Generator().manual_seed(0)).double()
    expected = jacobian.T @ (certainty * (jacobian @ vector)) / len(targets)
    found = fisher_product(problem, inputs, vector)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_gradients_of_groups_are_those_of_whole_orders(problem_and_batch):
    problem, (inputs, targets) = problem_and_batch
    jacobian, outputs = gradients_of_outputs(problem, inputs)
    pieces = list(inputs.pieces(4))
    expected = torch.stack(
        [(outputs.sigmoid() - targets)[at] @ jacobian[at] / len(targets[at])
         for _, at in pieces]
    )  # fmt: skip
    found = gradient_matrix(problem, [(inputs, targets)], len(pieces), 4)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    whole = loss_gradient(problem, inputs, targets)
    mean = (outputs.sigmoid() - targets) @ jacobian / len(targets)
    torch.testing.assert_close(whole, mean, rtol=1e-9, atol=1e-12)
