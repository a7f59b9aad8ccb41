"""Every family's closed forms against the dense matrix that its products spell out."""

import itertools

import pytest
import torch
from torch import nn

from compression.families.layered import FAMILIES, make_block, make_family
from compression.operators import InverseOperator
from compression.parameters import collect_parameters

EXACT = {"atol": 1e-12, "rtol": 1e-10}
LAYERS = {
    "linear": lambda: nn.Linear(4, 3),
    "linear without bias": lambda: nn.Linear(3, 5, bias=False),
    "convolution": lambda: nn.Conv2d(3, 2, (2, 3)),
    "convolution of few inputs": lambda: nn.Conv1d(1, 4, 3),
    "grouped convolution": lambda: nn.Conv2d(4, 6, 2, groups=2),
    "depthwise convolution": lambda: nn.Conv1d(3, 3, 2, groups=3, bias=False),
    "embedding": lambda: nn.Embedding(5, 3),
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "attention of three widths": lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=2),
    "batch normalisation": lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2)),
    "layer normalisation": lambda: nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)),
}


@pytest.fixture(params=LAYERS)
def space(request):
    return collect_parameters(LAYERS[request.param]().double())


@pytest.fixture(params=FAMILIES)
def operator(request, space):
    made = make_family(request.param, space, scale=7.0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for factor in made.parameters():
            factor.add_(torch.randn(factor.shape, generator=generator, dtype=factor.dtype) * 0.5)
    return made


def test_the_matrix_is_symmetric_and_positive_semi_definite(operator):
    matrix = operator.dense()
    torch.testing.assert_close(matrix, matrix.T, **EXACT)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-10 * matrix.diagonal().max()


def test_closed_forms_are_the_dense_matrix_own(operator):
    matrix = operator.dense().detach()
    torch.testing.assert_close(operator.diagonal(), matrix.diagonal(), **EXACT)
    everywhere = torch.arange(operator.size)
    torch.testing.assert_close(
        operator.entries(everywhere[:, None], everywhere[None, :]), matrix, **EXACT
    )
    groups = torch.randperm(operator.size)[: operator.size // 3 * 3].reshape(-1, 3)
    expected = torch.stack([matrix[group][:, group] for group in groups])
    torch.testing.assert_close(operator.blocks(groups), expected, **EXACT)


def test_products_take_any_leading_dimensions(operator):
    vectors = torch.randn(2, 3, operator.size, dtype=torch.float64)
    expected = vectors @ operator.dense()
    torch.testing.assert_close(operator.product(vectors), expected, **EXACT)
    torch.testing.assert_close(operator.product(vectors[0, 0]), expected[0, 0], **EXACT)


def test_a_diagonal_can_be_the_beginning(operator):
    diagonal = torch.rand(operator.size, dtype=torch.float64) + 0.1
    operator.initialise(diagonal)
    torch.testing.assert_close(operator.dense(), diagonal.diag(), **EXACT)


def test_gradients_that_say_nothing_leave_the_inverse_of_the_damping(operator):
    moments = operator.second_moments(torch.zeros(operator.size, dtype=torch.float64))
    assert len(moments) == operator.num_moments
    operator.begin_at(moments, 0.1)
    identity = torch.eye(operator.size, dtype=torch.float64)
    torch.testing.assert_close(operator.dense(), 10 * identity, rtol=1e-2, atol=1e-2)


def test_every_parameter_moves_products_and_diagonals(operator):
    for value in (operator.product(torch.randn(operator.size).double()), operator.diagonal()):
        gradients = torch.autograd.grad(value.square().sum(), list(operator.parameters()))
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_kronecker_is_the_product_of_its_factors():
    space = collect_parameters(nn.Linear(2, 3, bias=False).double())
    part = make_family("kronecker", space, scale=2.0).operators()[0]
    with torch.no_grad():
        for factor in part.parameters():
            factor.normal_()
    row, column, outer = part.row_factor[0], part.column_factor[0], part.outer.flatten().diag()
    expected = 2 * outer @ torch.kron(row.T @ row, column @ column.T) @ outer
    torch.testing.assert_close(part.dense(), expected, **EXACT)


def test_three_factors_are_the_product_of_outputs_inputs_and_kernel():
    space = collect_parameters(nn.Conv2d(3, 2, 2, bias=False).double())
    part = make_family("three_factor", space, scale=2.0).operators()[0]
    with torch.no_grad():
        for factor in part.parameters():
            factor.normal_()
    row, column, kernel = part.row_factor[0], part.column_factor[0], part.kernel_factor[0]
    inner = torch.kron(row.T @ row, torch.kron(column @ column.T, kernel @ kernel.T))
    expected = 2 * part.outer.diag() @ inner @ part.outer.diag()
    torch.testing.assert_close(part.dense(), expected, **EXACT)


def begun(family, layer, fisher, damping):
    """A family's beginning, given gradients whose mean outer product is a Fisher matrix."""
    operator = make_family(family, collect_parameters(layer.double()), 1.0)
    root = torch.linalg.cholesky(fisher) * len(fisher) ** 0.5
    moments = [operator.second_moments(gradient) for gradient in root.T]
    means = [torch.stack(each).mean(0) for each in zip(*moments, strict=True)]
    operator.begin_at(means, damping)
    return operator


def covariance(rows, seed):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows, 2 * rows, generator=generator, dtype=torch.float64)
    return noise @ noise.T / rows


def test_each_family_begins_at_the_inverse_of_a_fisher_matrix_of_its_kind():
    rows, columns, kernel = covariance(3, 0), covariance(4, 1), covariance(2, 2)
    fisher = torch.kron(rows, columns)
    near = {"rtol": 1e-4, "atol": 1e-4}
    operator = begun("kronecker", nn.Linear(4, 3, bias=False), fisher, 1e-12)
    torch.testing.assert_close(operator.dense(), torch.linalg.inv(fisher), **near)
    three = torch.kron(fisher, kernel)
    operator = begun("three_factor", nn.Conv1d(4, 3, 2, bias=False), three, 1e-18)
    torch.testing.assert_close(operator.dense(), torch.linalg.inv(three), **near)
    table = torch.kron(rows.diagonal().diag(), columns)
    operator = begun("kronecker", nn.Embedding(3, 4), table, 1e-12)
    torch.testing.assert_close(operator.dense(), torch.linalg.inv(table), **near)
    damped = three + 0.1 * torch.eye(24, dtype=torch.float64)
    operator = begun("full", nn.Linear(24, 1, bias=False), three, 0.1)
    torch.testing.assert_close(operator.dense(), torch.linalg.inv(damped))
    operator = begun("diagonal", nn.Linear(24, 1, bias=False), three, 0.1)
    torch.testing.assert_close(operator.diagonal(), 1 / damped.diagonal())


def test_the_beginning_is_damped_as_much_as_the_inverse():
    rows, columns = covariance(3, 0), torch.zeros(4, 4, dtype=torch.float64)
    columns[0, 0] = 1
    fisher = torch.kron(rows, columns) + 1e-12 * torch.eye(12, dtype=torch.float64)
    operator = begun("kronecker", nn.Linear(4, 3, bias=False), fisher, 0.01)
    assert torch.linalg.eigvalsh(operator.dense()).max() < 100
    assert torch.linalg.eigvalsh(operator.dense()).min() > 0


@pytest.mark.parametrize("family", ["kronecker", "three_factor"])
@pytest.mark.parametrize("layer", [lambda: nn.Linear(6, 4), lambda: nn.Conv2d(5, 4, 2, bias=False)])
def test_columns_are_removed_at_the_cost_of_their_blocks(family, layer):
    module = layer().double()
    space = collect_parameters(nn.Sequential(nn.Linear(2, 2).double(), module))
    operator = make_family(family, space, 3.0)
    with torch.no_grad():
        for factor in operator.parameters():
            factor.add_(torch.randn_like(factor) * 0.3)
    slot = space.slot("1.weight")
    positions = torch.arange(slot.start, slot.stop).view(slot.shape)[[0, 2, 3]]
    columns = positions.movedim(1, 0).flatten(start_dim=1)
    weights = torch.randn(space.size, dtype=torch.float64)
    expected = InverseOperator.group_losses(operator, weights, columns)
    torch.testing.assert_close(operator.group_losses(weights, columns), expected, **EXACT)
    scattered = columns.flatten()[torch.randperm(columns.numel())].view(-1, 3).sort(dim=1).values
    expected = InverseOperator.group_losses(operator, weights, scattered)
    torch.testing.assert_close(operator.group_losses(weights, scattered), expected, **EXACT)


def test_blocks_end_with_their_layer():
    space = collect_parameters(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)).double())
    operator = make_block(space, 1.0, block_size=5)
    with torch.no_grad():
        for factor in operator.parameters():
            factor.normal_()
    matrix = operator.dense()
    starts = [0, 5, 10, 12, 17, 20]
    expected = torch.zeros_like(matrix, dtype=torch.bool)
    for start, stop in itertools.pairwise(starts):
        expected[start:stop, start:stop] = True
    assert torch.equal(matrix != 0, expected)


def test_a_residual_network_takes_under_two_parameters_a_weight():
    """Of the widest convolutions of ResNet-18."""
    space = collect_parameters(nn.Conv2d(512, 512, 3, bias=False))
    operator = make_family("three_factor", space, 1.0)
    assert sum(factor.numel() for factor in operator.parameters()) < 1.3 * space.size


def test_what_cannot_be_is_refused():
    space = collect_parameters(nn.Linear(200, 200))
    with pytest.raises(ValueError, match="too large"):
        make_family("full", space, 1.0)
    with pytest.raises(ValueError, match="there are: diagonal"):
        make_family("sparse", space, 1.0)
