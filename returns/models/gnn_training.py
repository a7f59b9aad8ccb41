"""Training of the graph network: mini-batches, averaged weights, several processes."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from returns import parallel
from returns.models.event_batch import Batch
from returns.models.gnn_batch import BatchMaker
from returns.models.gnn_network import EventNetwork
from returns.models.gnn_together import FEW_TARGETS, log_odds_together
from returns.threads import in_threads

SCORED_AT_ONCE = 1 << 12
"""Events of a batch where nothing is learned: few enough for its states to stay in the cache."""

AVERAGED_STEPS = 200
"""About so many of the latest steps make the averaged weights."""

FEWEST_STEPS = 10
"""Steps that the learning rate is planned for at least."""

LARGEST_GRADIENT = 1.0
"""Norm that a step's gradient is cut to."""

MOST_GROWTH = 2
"""So many times its batch size a step of several processes has at most: with larger steps the
network learns worse ..."""

STEPS_WHERE_GROWN = 20
"""... and steps grow only while so many are left of an epoch."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes:
        epochs: Passes over the training events that the learning rate is planned for.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Decoupled weight decay.
        batch_size: Events of a step.
        seed: Of the order of the batches.
        averaged_steps: About so many of the latest steps make the averaged weights.
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    batch_size: int
    seed: int
    averaged_steps: float = AVERAGED_STEPS

    def shared_by(self, num_processes: int, num_events: int) -> "Schedule":
        """The schedule of several processes: fewer, larger steps, of which each does as much.

        The learning rate grows with the steps (the linear scaling rule, Goyal et al. 2017,
        arXiv 1706.02677, section 2.1).

        Args:
            num_processes: That share each step.
            num_events: Training events.
        """
        grown = min(
            min(num_processes, MOST_GROWTH) * self.batch_size,
            num_events // STEPS_WHERE_GROWN,
        )
        growth = max(1.0, grown / self.batch_size)
        return replace(
            self,
            batch_size=round(growth * self.batch_size),
            learning_rate=growth * self.learning_rate,
            averaged_steps=self.averaged_steps / growth,
        )


class Learner:
    """A network as it learns.

    Attributes:
        number: Its number among those that learn together.
        network: The network.
        averaged: The same with the weights averaged over the latest steps.
        losses: Mean loss of each step of the epoch.
    """

    def __init__(
        self, number: int, network: EventNetwork, schedule: Schedule, num_steps: int
    ) -> None:
        """Start before the first step.

        Args:
            number: Its number among those that learn together.
            network: The network; its weights will change.
            schedule: How it is trained.
            num_steps: Steps that the learning rate is planned for.
        """
        self.number = number
        self.network, self.averaged = network, copy.deepcopy(network)
        self.losses: list[float] = []
        self._step, self._averaged_steps = 0, schedule.averaged_steps
        self._optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            fused=True,
        )
        self._rate = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, schedule.learning_rate, total_steps=num_steps, pct_start=0.2
        )

    def learn(self, batch: Batch, target: Tensor, weight: Tensor) -> None:
        """Make one step.

        Args:
            batch: This process's part of the step's events.
            target: Label of every training event, float32 `(num_events,)`.
            weight: Of every training event, float32 `(num_events,)`.
        """
        self._optimizer.zero_grad()
        on_gpu = target.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
            log_odds = self.network(batch).float()
        event_losses = F.binary_cross_entropy_with_logits(
            log_odds, target[batch.positions], reduction="none"
        )
        event_weights = weight[batch.positions]
        loss = (event_weights * event_losses).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        mean = parallel.sum_gradients(self.network.parameters(), loss, event_weights.sum())
        self.losses.append(mean.item())
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self._optimizer.step()
        self._rate.step()
        self._step += 1
        # A plain mean at first, then exponential.
        _average(self.averaged, self.network, max(1 / self._step, 1 / self._averaged_steps))

    @property
    def loss(self) -> float:
        """Mean loss of the epoch."""
        return math.fsum(self.losses) / len(self.losses)


def train(
    networks: Sequence[EventNetwork],
    last_epochs: Sequence[int],
    maker: BatchMaker,
    labels: np.ndarray,
    weights: np.ndarray,
    schedule: Schedule,
    after_epoch: Callable[[int, Sequence[Learner]], None],
) -> list[EventNetwork]:
    """Train networks on the same batches; of several processes each takes its part of every batch.

    Several networks learn at once where a CPU has several threads, one with all of the threads. All
    processes end with the same weights, to the last bit.

    Args:
        networks: The networks; their weights change.
        last_epochs: Passes after which each of them stops.
        maker: Batches of the training events.
        labels: Of the events, 0 or 1, `(num_events,)`.
        weights: Of the events, `(num_events,)`.
        schedule: How to train.
        after_epoch: Told of each epoch and of the networks that learned in it.

    Returns:
        The networks with the weights averaged over the last steps.
    """
    place = parallel.device()
    schedule = schedule.shared_by(parallel.world_size(), len(labels))
    target = torch.from_numpy(labels.astype(np.float32)).to(place)
    weight = torch.from_numpy(weights.astype(np.float32)).to(place)
    # The learning rate cannot rise within fewer steps than these.
    num_steps = max(FEWEST_STEPS, schedule.epochs * maker.num_batches(schedule.batch_size))
    learners = [
        Learner(number, network.to(place), schedule, num_steps)
        for number, network in enumerate(networks)
    ]
    order = np.random.default_rng(schedule.seed)
    for epoch in range(max(last_epochs)):
        learning = [learner for learner in learners if epoch < last_epochs[learner.number]]
        for learner in learning:
            learner.network.train()
            learner.losses.clear()
        batches = maker.batches(schedule.batch_size, order, parallel.rank(), parallel.world_size())
        _learn_all(learning, ahead(batches, place), target, weight)
        after_epoch(epoch, learning)
    return [learner.averaged for learner in learners]


def _learn_all(
    learners: Sequence[Learner], batches: Iterator[Batch], target: Tensor, weight: Tensor
) -> None:
    """Let every network learn from every batch, each network from one after the other."""

    def learn(step: tuple[Learner, Batch]) -> None:
        learner, batch = step
        learner.learn(batch, target, weight)

    def steps() -> Iterator[tuple[Learner, Batch]]:
        for batch in batches:
            moved = batch.to(target.device)
            yield from ((learner, moved) for learner in learners)

    # Processes sum their gradients in the same order; a GPU is busy with one network.
    alone = parallel.world_size() == 1 and target.device.type == "cpu"
    for _ in in_threads(learn, steps(), most=len(learners) if alone else 1):
        pass


def log_odds_of(
    networks: Sequence[EventNetwork],
    maker: BatchMaker,
    num_events: int,
    part: int = 0,
    num_parts: int = 1,
) -> np.ndarray:
    """Log-odds of all events of a batch maker, float64 `(num_networks, num_events)`.

    Each batch is made once for all networks, and scored by one thread: the number of threads
    changes no bit.

    Args:
        networks: The networks.
        maker: Batches of the events.
        num_events: Their number.
        part: Which part of each batch is wanted, as of `BatchMaker.batches`.
        num_parts: Number of such parts; events of the others have log-odds 0.
    """
    place = parallel.device()
    for network in networks:
        # Both walk the whole network: a quarter of the time that scoring a basket takes.
        if network.training:
            network.eval()
        if next(network.parameters()).device != place:
            network.to(place)
    scores = np.zeros((len(networks), num_events), dtype=np.float64)

    def score(groups: np.ndarray) -> None:
        batch = maker.batch(groups)
        positions = batch.positions.numpy()
        moved = batch.to(place)
        with torch.inference_mode():
            if len(positions) <= FEW_TARGETS:
                scores[:, positions] = log_odds_together(networks, moved).double().cpu().numpy()
                return
            for number, network in enumerate(networks):
                scores[number, positions] = network(moved).double().cpu().numpy()

    for _ in in_threads(score, maker.cut(SCORED_AT_ONCE, None, part, num_parts)):
        pass
    return scores


def shared_log_odds_of(
    networks: Sequence[EventNetwork], maker: BatchMaker, num_events: int
) -> np.ndarray:
    """Log-odds as of `log_odds_of`, for which each process scores its part of the events.

    They are the same in all processes, to the last bit.

    Args:
        networks: The networks, alike in all processes.
        maker: Batches of the events, alike in all processes.
        num_events: Their number.
    """
    own = log_odds_of(networks, maker, num_events, parallel.rank(), parallel.world_size())
    return parallel.summed(own)


def _average(averaged: EventNetwork, network: EventNetwork, share: float) -> None:
    """Move the averaged weights by a share of the way to the latest."""
    with torch.no_grad():
        torch._foreach_lerp_(list(averaged.parameters()), list(network.parameters()), share)


def ahead(items: Iterator[Item], place: torch.device) -> Iterator[Item]:
    """The same items, each made in a second thread while the one before is used.

    Not where a CPU computes with one thread: processes that have a core each would take it from
    each other.

    Args:
        items: To be made.
        place: Where they are used.
    """
    if place.type == "cpu" and torch.get_num_threads() == 1:
        yield from items
        return
    with ThreadPoolExecutor(1) as maker:
        pending = maker.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = maker.submit(next, items, None)
            yield item
