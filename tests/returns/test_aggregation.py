import pytest
import torch
from torch_geometric.nn import SimpleConv

from returns.aggregation import MeanAggregation, Runs


def random_edges(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(0, 30, (200,), generator=generator)
    destination = torch.randint(0, 18, (200,), generator=generator)
    return torch.stack([source, destination])


def test_mean_equals_stock_message_passing():
    edges = random_edges()
    states = torch.randn(30, 7, generator=torch.Generator().manual_seed(1))
    own = MeanAggregation(edges, 30, 20)(states)
    stock = SimpleConv(aggr="mean")((states, torch.zeros(20, 7)), edges)
    torch.testing.assert_close(own, stock)
    assert (own[18:] == 0).all()


def test_gradient_is_the_transposed_product():
    edges = random_edges()
    states = torch.randn(30, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weights = torch.randn(20, 3, generator=torch.Generator().manual_seed(2))
    (MeanAggregation(edges, 30, 20)(states) * weights).sum().backward()
    own = states.grad.clone()
    states.grad = None
    (SimpleConv(aggr="mean")((states, torch.zeros(20, 3)), edges) * weights).sum().backward()
    torch.testing.assert_close(own, states.grad)


def test_the_order_of_edges_changes_no_bit():
    edges = random_edges()
    shuffled = edges[:, torch.randperm(200, generator=torch.Generator().manual_seed(3))]
    states = torch.randn(30, 7, generator=torch.Generator().manual_seed(1))
    assert torch.equal(
        MeanAggregation(edges, 30, 18)(states), MeanAggregation(shuffled, 30, 18)(states)
    )


def test_no_edges_give_zeros():
    mean = MeanAggregation(torch.empty(2, 0, dtype=torch.int64), 4, 3)
    assert (mean(torch.ones(4, 2)) == 0).all()


LENGTHS = torch.tensor([3, 0, 1, 5, 0, 0, 2, 0])


def runs():
    return Runs(torch.repeat_interleave(torch.arange(len(LENGTHS)), LENGTHS), LENGTHS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_runs_add_up_and_repeat_like_torchs_own_operations(dtype):
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(int(LENGTHS.sum()), 12, generator=random).to(dtype)
    per_run = torch.randn(len(LENGTHS), 12, generator=random).to(dtype)
    assert torch.equal(runs().repeat(per_run), per_run.repeat_interleave(LENGTHS, dim=0))
    stock = torch.segment_reduce(rows.float(), "sum", lengths=LENGTHS)
    tolerance = 0 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(runs().total(rows).float(), stock, atol=tolerance, rtol=tolerance)


def test_the_gradients_of_runs_are_those_of_finite_differences():
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(int(LENGTHS.sum()), 2, generator=random, dtype=torch.float64)
    per_run = torch.randn(len(LENGTHS), 2, generator=random, dtype=torch.float64)
    for operation, matrix in ((runs().total, rows), (runs().repeat, per_run)):
        assert torch.autograd.gradcheck(operation, matrix.requires_grad_())


def test_runs_without_rows_add_up_to_zeros():
    empty = Runs(torch.empty(0, dtype=torch.int64), torch.zeros(3, dtype=torch.int64))
    assert torch.equal(empty.total(torch.ones(0, 4)), torch.zeros(3, 4))
    assert empty.repeat(torch.ones(3, 4)).shape == (0, 4)


def runs_and_dense(width: int = 3):
    """Runs, one of them empty, and the same sums as products with a matrix of zeros and ones."""
    lengths = torch.tensor([2, 0, 3, 1])
    run = torch.repeat_interleave(torch.arange(4), lengths)
    sums = torch.nn.functional.one_hot(run, 4).T.double()
    runs = Runs(run, lengths)

    def by_runs(matrix):
        return (runs.repeat(runs.total(matrix.square()).tanh()) * matrix).sum(-1)

    def by_matrix(matrix):
        return ((sums.T @ (sums @ matrix.square()).tanh()) * matrix).sum(-1)

    generator = torch.Generator().manual_seed(0)
    shape = (6, width)
    matrix, tangent = (torch.randn(shape, generator=generator).double() for _ in range(2))
    return by_runs, by_matrix, matrix, tangent


def test_runs_are_differentiated_forward_and_backward_at_once():
    """As the Fisher product needs it: a backward pass through a forward derivative."""
    *functions, matrix, tangent = runs_and_dense()
    found = []
    for function in functions:
        outputs, pullback, change = torch.func.vjp(
            lambda values, of=function: torch.func.jvp(of, (values,), (tangent,)),
            matrix,
            has_aux=True,
        )
        found.append((outputs, change, pullback(torch.arange(6.0).double())[0]))
    for own, expected in zip(*found, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-13, atol=1e-13)


def test_derivatives_of_runs_are_those_of_finite_differences():
    by_runs, _, matrix, _ = runs_and_dense()
    assert torch.autograd.gradcheck(by_runs, matrix.requires_grad_(), check_forward_ad=True)
