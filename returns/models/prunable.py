"""What pruning asks of a classifier: its network, and what the network reads of events."""

from collections.abc import Iterator
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from torch import nn

from returns.event_set import EventSet
from returns.models.base import ReturnClassifier


@runtime_checkable
class Prunable(ReturnClassifier, Protocol):
    """A fitted classifier that is a network, whose weights may be set to 0 one by one."""

    @property
    def network(self) -> nn.Module:
        """What turns a mini-batch into log-odds `(num_targets,)`; the weights are the model's."""

    def with_network(self, network: nn.Module) -> Self:
        """The same classifier with other weights; it is not changed itself.

        Args:
            network: A copy of `network`, its weights changed.
        """

    def mini_batches(
        self, events: EventSet, size: int, generator: np.random.Generator | None = None
    ) -> Iterator[tuple[Any, np.ndarray]]:
        """What the network reads of events, batch after batch.

        Args:
            events: Events to learn from or to score.
            size: Events of a batch, give or take those that must stay together.
            generator: Draws events and their order, each at most once and with a chance in
                proportion to its weight: a plain mean over them estimates the weighted mean over
                all. None: all events as they come.

        Yields:
            The network's inputs, and the rows of their events in the set, int64 `(num_targets,)`.
        """
