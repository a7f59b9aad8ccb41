"""Weights of the graph network's members: the best of them in training, and their file."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from returns.models.gnn_network import Architecture, EventNetwork
from returns.models.weight_file import read_weights, write_weights


class BestEpoch:
    """The epoch of least validation loss so far, and its weights.

    Attributes:
        epoch: Its number, from 0.
        loss: Its validation loss.
        weights: The network's state after it.
    """

    def __init__(self) -> None:
        """Before the first epoch."""
        self.epoch, self.loss = 0, math.inf
        self.weights: dict[str, torch.Tensor] = {}

    def consider(self, epoch: int, loss: float, network: EventNetwork) -> None:
        """Keep the weights of an epoch if it is the best so far."""
        if loss < self.loss or not self.weights:
            self.epoch, self.loss = epoch, loss
            self.weights = {key: value.clone() for key, value in network.state_dict().items()}


def save_networks(networks: Sequence[EventNetwork], path: Path) -> None:
    """Write the weights of all members into one file."""
    weights = {
        f"{number}.{name}": weight
        for number, network in enumerate(networks)
        for name, weight in network.state_dict().items()
    }
    write_weights(weights, path)


def load_networks(path: Path, architecture: Architecture, number: int) -> list[EventNetwork]:
    """Read the members that `save_networks` wrote.

    Args:
        path: Of the file.
        architecture: Of every member.
        number: How many there are.

    Raises:
        RuntimeError: The weights do not fit the network.
    """
    weights = read_weights(path)
    networks = []
    for member in range(number):
        prefix = f"{member}."
        # Copied into memory aligned as it was in training, which decides the last bit.
        own = {
            name.removeprefix(prefix): weight.clone()
            for name, weight in weights.items()
            if name.startswith(prefix)
        }
        with torch.device("meta"):  # draws no initial weights
            network = EventNetwork(architecture)
        network.load_state_dict(own, assign=True)
        networks.append(network)
    return networks
