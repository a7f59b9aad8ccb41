"""Scores a few events with several graph networks at once.

For a basket, calling an operation takes longer than computing it. Here the states of all networks
lie side by side, and what has no weights is called once for all of them. Products with weights are
taken network by network, as each alone takes them, so that no bit changes.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from returns.models.event_batch import Batch, Neighbours
from returns.models.gnn_network import EventNetwork, NeighbourAttention, attend
from returns.models.module_keys import module_key

FEW_TARGETS = 64
"""Targets of a batch up to which networks score together: beyond, states leave the cache."""


def log_odds_together(networks: Sequence[EventNetwork], batch: Batch) -> Tensor:
    """What each network gives for a batch in evaluation, float32 `(num_networks, num_targets)`.

    Args:
        networks: Of the same architecture.
        batch: Some targets.
    """
    states = [network.row(batch.rows) for network in networks]
    heard = [[state] for state in states]
    for name, neighbours in batch.relations.items():
        for own, told in zip(heard, _attention(networks, name, states, neighbours), strict=True):
            own.append(told)
    if batch.group is not None and networks[0].messages is not None:
        sums = [sum(own[1:], own[0]) for own in heard]
        for own, told in zip(heard, _messages(networks, sums, batch.group), strict=True):
            own.append(told)
    log_odds = [
        network.decoder(torch.cat(own, dim=1)) + network.linear(batch.rows)
        for network, own in zip(networks, heard, strict=True)
    ]
    return torch.cat(log_odds, dim=1).T


def _attention(
    networks: Sequence[EventNetwork], name: str, states: Sequence[Tensor], neighbours: Neighbours
) -> list[Tensor]:
    """What the targets hear by a relation, network by network."""
    key = module_key(name)
    layers = [cast(NeighbourAttention, network.attention[key]) for network in networks]
    said = F.gelu(torch.cat([each.neighbour(neighbours.features) for each in layers], dim=1))
    asked = [each.query(state) for each, state in zip(layers, states, strict=True)]
    nobody = torch.cat([each.nobody for each in layers])
    mean, number = attend(torch.cat(asked, dim=1), said, nobody, neighbours)
    parts = mean.chunk(len(layers), dim=1)
    return [
        each.out(torch.cat([part, number], dim=1)) for each, part in zip(layers, parts, strict=True)
    ]


def _messages(
    networks: Sequence[EventNetwork], states: Sequence[Tensor], group: Tensor
) -> list[Tensor]:
    """What the targets hear of the others in their group, network by network."""
    layers = [network.messages for network in networks if network.messages is not None]
    values = [each.value(state) for each, state in zip(layers, states, strict=True)]
    value = torch.tanh(torch.cat(values, dim=1))
    others = layers[0].others(value, group)
    means = others.mean.chunk(len(layers), dim=1)
    products = (value * others.mean).chunk(len(layers), dim=1)
    return [
        each.out(torch.cat([mean, product, others.count], dim=1))
        for each, mean, product in zip(layers, means, products, strict=True)
    ]
