"""Small synthetic graphs in the shape that `GraphBuilder` gives."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData

from returns.graph import ORDERED_IN, PURCHASED_BY, PURCHASES


def make_event_graph(messages: np.ndarray, targets: np.ndarray, seed: int = 0) -> HeteroData:
    """Six customers, five variants of three products; purchases and targets as given.

    Labels, products and baskets are drawn from the seed.
    """
    rng = np.random.default_rng(seed)
    graph = HeteroData()
    for kind, number in (("customer", 6), ("variant", 5)):
        graph[kind].x = torch.from_numpy(rng.normal(size=(number, 2)))
    graph["product"].num_nodes = 3
    graph["product"].level = np.array(["P0", "P1", "P2"], dtype=object)
    product = torch.stack([torch.arange(5), torch.from_numpy(rng.integers(0, 3, 5))])
    graph["variant", "belongs_to", "product"].edge_index = product
    graph["product", "includes", "variant"].edge_index = product.flip(0)
    graph[PURCHASES].edge_index = torch.from_numpy(messages)
    graph[PURCHASED_BY].edge_index = torch.from_numpy(messages).flip(0)
    returned = torch.from_numpy(rng.integers(0, 2, messages.shape[1]))
    graph[PURCHASES].edge_attr = torch.stack([torch.ones_like(returned), returned], dim=1).float()
    graph[PURCHASES].edge_label_index = torch.from_numpy(targets)
    number = targets.shape[1]
    graph[PURCHASES].edge_label = torch.from_numpy(rng.integers(0, 2, number)).float()
    graph.position = 100 + torch.arange(number)
    distinct, basket = np.unique(rng.integers(0, number, number), return_inverse=True)
    graph["basket"].num_nodes = len(distinct)
    graph.target_basket = torch.from_numpy(basket)
    graph[ORDERED_IN].edge_index = torch.stack(
        [graph[PURCHASES].edge_label_index[1], graph.target_basket]
    )
    return graph


@pytest.fixture(scope="session")
def event_graph() -> Callable[..., HeteroData]:
    return make_event_graph
