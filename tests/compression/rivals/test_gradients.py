import pytest
import torch

from compression.errors import ExhaustedLoaderError
from compression.fisher import example_gradients, fisher_product, loss_gradient
from compression.parameters import collect_parameters
from compression.problem import Problem
from compression.rivals.gradients import gradient_matrix, gradient_rows


def test_a_row_is_the_gradient_of_the_mean_loss_of_its_group(problem, loader):
    matrix = gradient_matrix(problem, loader, number=12, group=5)
    inputs, targets = (torch.cat(parts) for parts in zip(*loader, strict=True))
    expected = [
        loss_gradient(problem, some, wanted)
        for some, wanted in zip(inputs.split(5), targets.split(5), strict=True)
    ]
    torch.testing.assert_close(matrix, torch.stack(expected), rtol=1e-12, atol=1e-14)


def test_single_examples_average_to_groups(problem, loader):
    single = gradient_matrix(problem, loader, number=60, group=1)
    grouped = gradient_matrix(problem, loader, number=15, group=4)
    means = single.view(15, 4, -1).mean(dim=1)
    torch.testing.assert_close(grouped, means, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("group", [1, 3])
def test_no_more_rows_come_than_asked_for(problem, loader, group):
    rows = list(gradient_rows(problem, loader, 8, group))
    assert sum(map(len, rows)) == 8
    whole = gradient_matrix(problem, loader, 18, group)
    assert torch.equal(torch.cat(rows), whole[:8])


def test_too_little_data_is_said_with_numbers(problem, loader):
    with pytest.raises(ExhaustedLoaderError, match="18 of 19 gradients of 3 examples"):
        gradient_matrix(problem, loader, number=19, group=3)


def test_groups_larger_than_a_batch_are_refused(problem, loader):
    with pytest.raises(ExhaustedLoaderError, match="0 of 1"):
        gradient_matrix(problem, loader, number=1, group=21)


class Pair:
    """A bundle of two blocks of inputs, whose examples stay together by twos."""

    def __init__(self, first, second):
        self.first, self.second = first, second

    def to(self, device):
        return Pair(self.first.to(device), self.second.to(device))

    def pieces(self, size):
        step = size + size % 2
        for start in range(0, len(self.first) - step + 1, step):
            at = slice(start, start + step)
            yield Pair(self.first[at], self.second[at]), at


class OfPairs(torch.nn.Module):
    """A model that is called with one object."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pair):
        return self.model(torch.cat([pair.first, pair.second], dim=1))


def test_the_pieces_of_a_bundle_are_its_groups(problem, loader):
    model = OfPairs(problem.model)
    bundled = Problem(model, problem.likelihood, collect_parameters(model))
    pairs = [(Pair(inputs[:, :2], inputs[:, 2:]), targets) for inputs, targets in loader]
    expected = gradient_matrix(problem, loader, number=12, group=4)
    # Pieces of three are made of two pairs.
    torch.testing.assert_close(gradient_matrix(bundled, pairs, number=12, group=3), expected)
    product = fisher_product(bundled, pairs[0][0], expected[0])
    torch.testing.assert_close(product, fisher_product(problem, loader[0][0], expected[0]))
    with pytest.raises(TypeError, match="bundle"):
        example_gradients(bundled, pairs[0])
