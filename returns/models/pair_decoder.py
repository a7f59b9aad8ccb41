"""A perceptron over the nodes and columns of each target, a block of targets at a time.

What is computed for a block stays in the processor's caches, and no activation is kept for all
targets: the loss is a sum over targets, so a block's gradient is known as soon as the block is.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch_geometric.typing import NodeType

from returns.models.dropout import Dropout
from returns.models.graph_batch import GraphBatch

BLOCK = 1 << 13
"""Targets of a block."""

States = Mapping[NodeType, Tensor]
"""States of the nodes that targets pick from, each float32 `(num_nodes, width)`."""


class PairDecoder(nn.Module):
    """Logit of each target from the states of its nodes, side by side with its columns."""

    def __init__(self, state_width: int, num_columns: int, hidden: int, dropout: float) -> None:
        """Make the weights.

        Args:
            state_width: Width of the states of all nodes of a target, side by side.
            num_columns: Number of its columns.
            hidden: Width of the first hidden layer; the second has half of it.
            dropout: Share of hidden states dropped in training.
        """
        super().__init__()
        self._widths = [state_width, num_columns]
        self.first = nn.Linear(state_width + num_columns, hidden)
        self.rest = nn.Sequential(
            nn.ReLU(inplace=True),
            Dropout(dropout),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(inplace=True),
            Dropout(dropout),
            nn.Linear(hidden // 2, 1),
        )

    def forward(self, states: States, batch: GraphBatch) -> Tensor:
        """Score all targets, without gradient.

        Args:
            states: Of each node type that `batch.gathers` picks from.
            batch: The graph and its targets.

        Returns:
            Logits, float32 `(num_targets,)`.
        """
        logits = torch.empty(len(batch.events))
        with torch.no_grad():
            for block in _blocks(batch):
                logits[block] = self._decode(_picked(states, batch, block), batch.events[block])
        return logits

    def loss(self, states: States, batch: GraphBatch) -> Tensor:
        """Weighted mean cross-entropy of all targets, in nats; scalar, with gradient.

        The gradient is computed along with the loss.

        Args:
            states: Of each node type that `batch.gathers` picks from.
            batch: The graph and its labelled targets.
        """
        loss: Callable[..., Tensor] = _Loss.apply
        kinds = tuple(batch.gathers)
        picked_from = (states[kind] for kind in kinds)
        return loss(self, batch, kinds, *picked_from, *self.parameters())

    def block_loss(self, picked: Tensor, batch: GraphBatch, block: slice) -> Tensor:
        """Summed weighted cross-entropy of a block of targets, in nats; scalar.

        Args:
            picked: States of each target's nodes, side by side, `(block, state_width)`.
            batch: The graph and its labelled targets.
            block: Which targets.
        """
        return F.binary_cross_entropy_with_logits(
            self._decode(picked, batch.events[block]),
            batch.labels[block],
            batch.weights[block],
            reduction="sum",
        )

    def _decode(self, picked: Tensor, columns: Tensor) -> Tensor:
        # Two products into one place, where joining their inputs would copy both.
        on_states, on_columns = torch.split(self.first.weight, self._widths, dim=1)
        hidden = F.linear(columns, on_columns, self.first.bias).addmm_(picked, on_states.t())
        logits: Tensor = self.rest(hidden).squeeze(1)
        return logits


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        decoder: PairDecoder,
        batch: GraphBatch,
        kinds: tuple[NodeType, ...],
        *tensors: Tensor,
    ) -> Tensor:
        states = dict(zip(kinds, tensors, strict=False))
        parameters = list(decoder.parameters())
        totals = [torch.zeros_like(parameter) for parameter in parameters]
        widths = [state.shape[1] for state in states.values()]
        of_targets = [torch.empty(len(batch.events), width) for width in widths]
        total_weight = batch.weights.sum()
        total = torch.zeros(())
        for block in _blocks(batch):
            picked = _picked(states, batch, block).requires_grad_()
            with torch.enable_grad():
                loss = decoder.block_loss(picked, batch, block) / total_weight
            of_picked, *of_parameters = torch.autograd.grad(loss, [picked, *parameters])
            for whole, part in zip(of_targets, torch.split(of_picked, widths, dim=1), strict=True):
                whole[block] = part
            torch._foreach_add_(totals, of_parameters)
            total += loss.detach()
        of_states = [
            batch.gathers[kind].gradient(gradient)
            for kind, gradient in zip(kinds, of_targets, strict=True)
        ]
        ctx.save_for_backward(*of_states, *totals)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *(known * gradients[0] for known in ctx.saved_tensors)


def _blocks(batch: GraphBatch) -> Iterator[slice]:
    for start in range(0, len(batch.events), BLOCK):
        yield slice(start, start + BLOCK)


def _picked(states: States, batch: GraphBatch, block: slice) -> Tensor:
    """States of the nodes of each target in a block, side by side."""
    widths = [states[kind].shape[1] for kind in batch.gathers]
    picked = torch.empty(len(batch.events[block]), sum(widths))
    parts = torch.split(picked, widths, dim=1)
    with torch.no_grad():
        for (kind, gather), part in zip(batch.gathers.items(), parts, strict=True):
            torch.index_select(states[kind], 0, gather.row[block], out=part)
    return picked
