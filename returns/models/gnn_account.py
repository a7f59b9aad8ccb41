"""What feature columns, neighbours and the lines decided together add to the graph network's score.

Integrated gradients along one path: feature columns come in from their medians, every neighbour
from absence, the other lines of the group from absence; the lines told of are as they truly are,
so that an event's account is of its own score alone. A neighbour's part is summed up by the
relation, the virtual node, by which it is heard.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from returns.dense import DenseEncoder
from returns.models.event_batch import Batch, Neighbours
from returns.models.gnn_batch import BatchMaker
from returns.models.gnn_network import EventNetwork
from returns.reasons.contributions import Contributions
from returns.reasons.integrated_gradients import integrated_gradients

TOGETHER = "lines decided together"
"""Cause: the other lines of the order, or under `paper` of the customer."""

EVENTS_AT_ONCE = 512
"""Events accounted for at a time, a part of those that are scored at a time."""


def past_of(relation: str) -> str:
    """Name of the cause that the neighbours by a relation are."""
    return f"past orders of the {relation}"


def account(
    networks: Sequence[EventNetwork], maker: BatchMaker, encoder: DenseEncoder, rows: np.ndarray
) -> Contributions:
    """Account for the mean log-odds of networks.

    Args:
        networks: Fitted networks.
        maker: Batches of all events that are scored together.
        encoder: Of the feature columns.
        rows: Events to account for, int64 `(num_selected,)`.
    """
    causes = (*encoder.layout.names, *map(past_of, maker.relations))
    if maker.is_grouped:
        causes += (TOGETHER,)
    wanted, inverse = np.unique(rows, return_inverse=True)
    log_odds, base = np.zeros((len(wanted), len(causes))), np.zeros(len(wanted))
    for chosen in maker.cut(EVENTS_AT_ONCE, among=maker.groups_of(wanted)):
        batch = maker.batch(chosen)
        positions = batch.positions.numpy()
        place = np.searchsorted(wanted, positions).clip(max=len(wanted) - 1)
        is_wanted = wanted[place] == positions
        for network in networks:
            parts, nothing = _account_of(network, batch, encoder)
            log_odds[place[is_wanted]] += parts[is_wanted] / len(networks)
            base[place[is_wanted]] += nothing[is_wanted] / len(networks)
    details = {past_of(name): _spoken(*maker.outcomes(name, rows)) for name in maker.relations}
    return Contributions(causes, log_odds[inverse], base[inverse], details)


def _account_of(
    network: EventNetwork, batch: Batch, encoder: DenseEncoder
) -> tuple[np.ndarray, np.ndarray]:
    """Parts `(num_targets, num_causes)` and base `(num_targets,)` of one network's log-odds."""
    network.eval()
    names = list(batch.relations)
    with torch.no_grad():
        others = network.others(batch)

    def function(inputs: Sequence[Tensor]) -> Tensor:
        rows, *presences = inputs
        relations = {
            name: replace(batch.relations[name], presence=presence)
            for name, presence in zip(names, presences, strict=False)
        }
        told = None if others is None else others.present(presences[-1])
        return network.log_odds(rows, relations, told)

    inputs = [batch.rows, *(_all_present(batch.relations[name]) for name in names)]
    if others is not None:
        inputs.append(torch.ones(len(batch.rows)))
    with torch.no_grad():
        base = function([torch.zeros_like(each) for each in inputs])
    of_rows, *of_presences = integrated_gradients(function, inputs)
    columns = [encoder.by_column(of_rows.numpy())]
    for name, part in zip(names, of_presences, strict=False):
        target = batch.relations[name].target.numpy()
        columns.append(np.bincount(target, part.numpy(), minlength=len(batch.rows))[:, None])
    if others is not None:
        columns.append(of_presences[-1].numpy()[:, None])
    return np.concatenate(columns, axis=1), base.double().numpy()


def _all_present(neighbours: Neighbours) -> Tensor:
    return torch.ones(len(neighbours.target))


def _spoken(number: np.ndarray, returned: np.ndarray) -> pa.Array:
    """Both numbers of each event in words, which are put once for each distinct pair."""
    base = int(number.max(initial=0)) + 1
    pairs, code = np.unique(number * base + returned, return_inverse=True)
    texts = [f"{pair % base} of {pair // base} returned" for pair in pairs]
    return pa.array(texts, pa.string()).take(pa.array(code))
