"""A graph network over events: an order line attends to the earlier events of its nodes.

Each relation (customer, variant, item, ...) is one attention over the line's neighbours, which tell
their labels and how they differ from the line; the lines of an order, or under `paper` all events
of a customer, then hear each other (message passing over basket nodes).
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from returns.models.dropout import Dropout
from returns.models.event_batch import Batch, Neighbours
from returns.models.module_keys import module_key

MOST_LOG_ODDS = 5.0
"""Bound of the attention's logits; keeps one neighbour from silencing all others."""

MOST_COUNTED = 4
"""Group sizes up to this are told apart one by one."""


@dataclass(frozen=True)
class Architecture:
    """All that fixes the shape of the network.

    Attributes:
        row_width: Width of the encoded feature columns.
        neighbour_width: Width of a neighbour's features.
        relations: Names of the relations.
        grouped: Whether targets are decoded in groups.
        hidden: Width of states.
        heads: Attention heads; divides `hidden`.
        dropout: Share of states dropped in training.
        input_dropout: Share of feature columns dropped in training.
    """

    row_width: int
    neighbour_width: int
    relations: tuple[str, ...]
    grouped: bool
    hidden: int
    heads: int
    dropout: float
    input_dropout: float

    def to_json(self) -> dict[str, Any]:
        """The architecture as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The architecture that `to_json` wrote."""
        return cls(**{**content, "relations": tuple(content["relations"])})


class NeighbourAttention(nn.Module):
    """Weighs the neighbours of each target by what the target is, and sums them up."""

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        """Make the weights.

        Args:
            width: Of a neighbour's features.
            hidden: Of states.
            heads: Attention heads.
        """
        super().__init__()
        self.neighbour = nn.Linear(width, hidden)
        self.query = nn.Linear(hidden, hidden)
        self.nobody = nn.Parameter(torch.zeros(heads))
        self.out = nn.Linear(hidden + 1, hidden)

    def forward(self, state: Tensor, neighbours: Neighbours) -> Tensor:
        """Hear the neighbours.

        Args:
            state: Of the targets, `(num_targets, hidden)`.
            neighbours: Of the targets.

        Returns:
            What was heard, `(num_targets, hidden)`.
        """
        said = F.gelu(self.neighbour(neighbours.features))
        mean, number = attend(self.query(state), said, self.nobody, neighbours)
        out: Tensor = self.out(torch.cat([mean, number], dim=1))
        return out


def attend(
    query: Tensor, said: Tensor, nobody: Tensor, neighbours: Neighbours
) -> tuple[Tensor, Tensor]:
    """Weigh what the neighbours of each target say by what the target asks, head by head.

    Args:
        query: Of the targets, `(num_targets, width)`.
        said: By the neighbours, `(num_neighbours, width)`.
        nobody: Log-odds of hearing nobody, `(num_heads,)`; their number divides the width.
        neighbours: Of the targets.

    Returns:
        Weighted mean, `(num_targets, width)`, and the logarithm of one more than the neighbours
        are, `(num_targets, 1)`.
    """
    runs, heads = neighbours.runs, len(nobody)
    by_head = _by_head(said, heads)
    log_odds = (_by_head(runs.repeat(query), heads) * by_head).sum(-1) / by_head.shape[-1] ** 0.5
    weight = (MOST_LOG_ODDS * torch.tanh(log_odds / MOST_LOG_ODDS)).exp()
    number = neighbours.lengths.to(query.dtype)
    if neighbours.presence is not None:
        presence = neighbours.presence[:, None]
        weight, number = weight * presence, runs.total(presence).squeeze(1)
    total = runs.total((weight[..., None] * by_head).flatten(1))
    weights = runs.total(weight) + nobody.exp()
    mean = _by_head(total, heads) / weights[..., None]
    return mean.flatten(1), number.log1p()[:, None]


def _by_head(states: Tensor, heads: int) -> Tensor:
    """`(n, width)` as `(n, heads, width / heads)`."""
    return states.view(len(states), heads, states.shape[1] // heads)


@dataclass(frozen=True)
class Others:
    """What each target is told of the others in its group.

    Attributes:
        mean: Mean value of their states, 0 where there are none, `(num_targets, hidden)`.
        count: How many they are, one column per number, `(num_targets, MOST_COUNTED + 1)`.
    """

    mean: Tensor
    count: Tensor

    def present(self, presence: Tensor) -> "Others":
        """The same with the others there to a part only.

        Args:
            presence: From 0, as if the target were alone, to 1, `(num_targets,)`.
        """
        part = presence[:, None]
        alone = torch.zeros_like(self.count)
        alone[:, 0] = 1.0
        return Others(part * self.mean, part * self.count + (1 - part) * alone)


class GroupMessages(nn.Module):
    """Tells each target the mean state of the others in its group, and how many they are."""

    def __init__(self, hidden: int) -> None:
        """Make the weights.

        Args:
            hidden: Width of states.
        """
        super().__init__()
        self.value = nn.Linear(hidden, hidden)
        self.out = nn.Linear(2 * hidden + MOST_COUNTED + 1, hidden)

    def others(self, value: Tensor, group: Tensor) -> Others:
        """What is told.

        Args:
            value: Of the targets' states, `(num_targets, hidden)`.
            group: Of each target, int64 `(num_targets,)`, from 0 without gaps.
        """
        size = torch.bincount(group)
        total = torch.zeros(len(size), value.shape[1], dtype=value.dtype, device=value.device)
        total = total.index_add(0, group, value)
        others = (size - 1)[group]
        mean = (total[group] - value) / others.clamp(min=1)[:, None]
        count = F.one_hot(others.clamp(max=MOST_COUNTED), MOST_COUNTED + 1).to(value.dtype)
        return Others(mean, count)

    def forward(self, state: Tensor, told: Tensor | Others) -> Tensor:
        """Hear the others.

        Args:
            state: Of the targets, `(num_targets, hidden)`.
            told: Group of each target, int64 `(num_targets,)`, from 0 without gaps; or what is
                told of the others, whatever the states of this call are.

        Returns:
            What was heard, `(num_targets, hidden)`.
        """
        value = torch.tanh(self.value(state))
        others = told if isinstance(told, Others) else self.others(value, told)
        mean = others.mean
        out: Tensor = self.out(torch.cat([mean, value * mean, others.count], dim=1))
        return out


class EventNetwork(nn.Module):
    """Log-odds that each target of a batch is returned."""

    def __init__(self, architecture: Architecture) -> None:
        """Make the weights.

        Args:
            architecture: Shape of the network.
        """
        super().__init__()
        self.architecture = architecture
        hidden, dropout = architecture.hidden, architecture.dropout
        self.row = nn.Sequential(
            Dropout(architecture.input_dropout),
            nn.Linear(architecture.row_width, 2 * hidden),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(2 * hidden, hidden),
        )
        self.attention = nn.ModuleDict(
            {
                module_key(name): NeighbourAttention(
                    architecture.neighbour_width, hidden, architecture.heads
                )
                for name in architecture.relations
            }
        )
        self.messages = GroupMessages(hidden) if architecture.grouped else None
        parts = 1 + len(architecture.relations) + architecture.grouped
        self.decoder = nn.Sequential(
            nn.LayerNorm(parts * hidden),
            nn.Linear(parts * hidden, 2 * hidden),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(2 * hidden, 1),
        )
        self.linear = nn.Linear(architecture.row_width, 1)

    def forward(self, batch: Batch) -> Tensor:
        """Score a batch, float32 `(num_targets,)`."""
        return self.log_odds(batch.rows, batch.relations, batch.group)

    def log_odds(
        self, rows: Tensor, relations: Mapping[str, Neighbours], told: Tensor | Others | None
    ) -> Tensor:
        """Score targets, float32 `(num_targets,)`.

        Args:
            rows: Encoded feature columns, `(num_targets, row_width)`.
            relations: Neighbours by each relation.
            told: As in `GroupMessages.forward`; None where each target is alone.
        """
        heard = self._heard(rows, relations)
        if self.messages is not None and told is not None:
            heard.append(self.messages(sum(heard), told))
        log_odds: Tensor = self.decoder(torch.cat(heard, dim=1)) + self.linear(rows)
        return log_odds.squeeze(1)

    def others(self, batch: Batch) -> Others | None:
        """What each target of a batch is told of the others in its group; None without groups."""
        if self.messages is None or batch.group is None:
            return None
        state = sum(self._heard(batch.rows, batch.relations))
        others: Others = self.messages.others(torch.tanh(self.messages.value(state)), batch.group)
        return others

    def _heard(self, rows: Tensor, relations: Mapping[str, Neighbours]) -> list[Tensor]:
        """The state of each target, then what it heard by each relation."""
        state = self.row(rows)
        return [
            state,
            *(
                self.attention[module_key(name)](state, relations[name])
                for name in self.architecture.relations
            ),
        ]


class AveragedNetworks(nn.Module):
    """Networks whose log-odds are averaged.

    Attributes:
        networks: The networks.
    """

    def __init__(self, networks: Iterable[EventNetwork]) -> None:
        """Take the networks as they are; their weights are not copied."""
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, batch: Batch) -> Tensor:
        """Score a batch, float32 `(num_targets,)`."""
        return torch.stack([network(batch) for network in self.networks]).mean(dim=0)

    def members(self) -> list[EventNetwork]:
        """The networks, as a list."""
        return [network for network in self.networks if isinstance(network, EventNetwork)]
