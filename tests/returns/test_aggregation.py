import torch
from torch_geometric.nn import SimpleConv

from returns.aggregation import MeanAggregation


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
