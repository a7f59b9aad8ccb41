"""The recommended return classifier: a graph network over events, trained in mini-batches."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import ClassVar, Self

import numpy as np
import torch
from scipy.special import expit

from data.reporter import Reporter
from returns import parallel
from returns.dense import DenseEncoder
from returns.event_set import EventSet
from returns.metrics import cross_entropy
from returns.models.base import ScoringBatches
from returns.models.dropout import draw_from
from returns.models.event_batch import Batch
from returns.models.gnn_account import account
from returns.models.gnn_batch import BatchMaker, NeighbourEncoder
from returns.models.gnn_network import Architecture, AveragedNetworks, EventNetwork
from returns.models.gnn_training import (
    SCORED_AT_ONCE,
    Learner,
    Schedule,
    log_odds_of,
    shared_log_odds_of,
    train,
)
from returns.models.gnn_weights import BestEpoch, load_networks, save_networks
from returns.models.saving import (
    Configured,
    read_configuration,
    require_learnable,
    write_configuration,
)
from returns.models.search_space import Choice, FloatRange, SearchSpace
from returns.neighbourhood import Neighbourhood
from returns.reasons.contributions import Contributions

WEIGHTS = "gnn.safetensors"

MANY_EVENTS = 300_000
"""Training events from which on one network, hardly held back, learns best."""

MOST_MEMBERS = 5
"""Networks that are averaged at most."""

DEFAULTS: Mapping[bool, Mapping[str, float]] = {
    False: {"fan_out": 16, "hidden": 128, "batch_size": 512, "dropout": 0.5, "weight_decay": 0.1},
    True: {"fan_out": 8, "hidden": 64, "batch_size": 2048, "dropout": 0.1, "weight_decay": 0.01},
}
"""What hyper-parameters are that are None: for few training events, and for `MANY_EVENTS`."""


@dataclass(eq=False)
class GNN(Configured):
    """Attention over the earlier events of an order's customer, variant and rarer attributes.

    Several processes learn it together, see `returns.parallel`; it is the same in all of them.

    Attributes:
        seed: Of weights, dropout, and the order of batches; the global generator is not touched.
        epochs: Passes over the training events; the best one's averaged weights are kept.
        members: Networks whose log-odds are averaged; None: as many as see `MANY_EVENTS` between
            them, but at most `MOST_MEMBERS`. Few events leave much to the luck of a seed.
        heads: Attention heads.
        learning_rate: Peak of the one-cycle schedule.
        input_dropout: Share of feature columns dropped in training.
        fan_out: Most neighbours of an event by one relation; None: see `DEFAULTS`, as for all
            below.
        hidden: Width of states.
        dropout: Share of states dropped in training.
        weight_decay: Decoupled weight decay.
        batch_size: Events of a step.
    """

    name: ClassVar[str] = "gnn"
    scoring_batches: ClassVar[ScoringBatches] = ScoringBatches(SCORED_AT_ONCE, by_group=True)
    learns_together: ClassVar[bool] = True
    search_space: ClassVar[SearchSpace] = {
        "fan_out": Choice((None, 4, 8, 16, 32)),
        "hidden": Choice((None, 32, 64, 128, 256)),
        "learning_rate": FloatRange(3e-4, 1e-2, log=True),
        "dropout": Choice((None, 0.1, 0.3, 0.5)),
        "input_dropout": Choice((0.0, 0.15, 0.3)),
        "weight_decay": Choice((None, 0.001, 0.01, 0.1, 0.3)),
    }

    epochs: int = 6
    members: int | None = None
    heads: int = 8
    learning_rate: float = 2e-3
    input_dropout: float = 0.0
    fan_out: int | None = None
    hidden: int | None = None
    dropout: float | None = None
    weight_decay: float | None = None
    batch_size: int | None = None

    _rows: DenseEncoder = field(init=False, repr=False)
    _neighbours: NeighbourEncoder = field(init=False, repr=False)
    _networks: list[EventNetwork] = field(init=False, repr=False)
    _best_epochs: list[int] = field(init=False, repr=False)
    _fan_out: int = field(init=False, repr=False)

    def fit(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        """Learn from `train`; `validation` chooses the epoch whose weights are kept.

        Raises:
            ValueError: The training events are not of both classes, or labels are unknown.
        """
        require_learnable(train, validation)
        members = self.members or max(1, min(MOST_MEMBERS, math.ceil(MANY_EVENTS / len(train))))
        heard = self._encode(train)
        maker = BatchMaker(train, heard, self._rows, self._neighbours)
        held_out = self._maker(validation)
        best = [BestEpoch() for _ in range(members)]

        def after_epoch(epoch: int, learners: Sequence[Learner]) -> None:
            networks = [learner.averaged for learner in learners]
            log_odds = shared_log_odds_of(networks, held_out, len(validation))
            losses = [
                cross_entropy(validation.labels, expit(each), validation.weights_together)
                for each in log_odds
            ]
            for learner, loss in zip(learners, losses, strict=True):
                best[learner.number].consider(epoch, loss, learner.averaged)
            reporter.metrics(
                {
                    "train_cross_entropy": fmean(learner.loss for learner in learners),
                    "validation_cross_entropy": fmean(losses),
                },
                step=epoch,
            )
            reporter.progress(self.name, epoch + 1, self.epochs)

        self._networks = self._train(maker, train, [self.epochs] * members, after_epoch)
        for network, of_network in zip(self._networks, best, strict=True):
            network.load_state_dict(of_network.weights)
        self._best_epochs = [of_network.epoch + 1 for of_network in best]

    def refit(self, events: EventSet, reporter: Reporter) -> None:
        """Learn anew, each network for as many epochs as `fit` found best.

        Args:
            events: Labelled events.
            reporter: Told of progress.
        """
        heard = self._encode(events)
        maker = BatchMaker(events, heard, self._rows, self._neighbours)
        total = max(self._best_epochs)

        def after_epoch(epoch: int, learners: Sequence[Learner]) -> None:
            reporter.progress(self.name, epoch + 1, total)

        self._networks = self._train(maker, events, self._best_epochs, after_epoch)

    def predict_proba(self, events: EventSet) -> np.ndarray:
        """Probability that each event is returned, float64 `(num_events,)`, uncalibrated."""
        maker = self._maker(events)
        scores = log_odds_of(self._networks, maker, len(events))
        probability: np.ndarray = expit(scores.mean(axis=0))
        return probability

    def contributions(self, events: EventSet, rows: np.ndarray) -> Contributions:
        """Integrated gradients over columns and neighbours, see `returns.models.gnn_account`."""
        return account(self._networks, self._maker(events), self._rows, rows)

    @property
    def network(self) -> AveragedNetworks:
        """All networks as one, see `returns.models.prunable`."""
        return AveragedNetworks(self._networks)

    def with_network(self, network: AveragedNetworks) -> Self:
        """The same model with the networks of another `AveragedNetworks`."""
        other = copy.copy(self)
        other._networks = network.members()
        return other

    def mini_batches(
        self, events: EventSet, size: int, generator: np.random.Generator | None = None
    ) -> Iterator[tuple[Batch, np.ndarray]]:
        """Batches of events, all or drawn by weight, see `returns.models.prunable`."""
        maker = self._maker(events)
        drawn = generator and maker.drawn(size, events.weights_together, generator)
        batches = map(maker.batch, drawn or maker.cut(size))
        return ((batch, batch.positions.numpy()) for batch in batches)

    def save(self, folder: Path) -> None:
        """Write weights as safetensors, the rest as JSON."""
        save_networks(self._networks, folder / WEIGHTS)
        fitted = {
            "architecture": self._networks[0].architecture.to_json(),
            "rows": self._rows.to_json(),
            "neighbours": self._neighbours.to_json(),
            "best_epochs": self._best_epochs,
            "fan_out": self._fan_out,
        }
        write_configuration(folder, self, fitted)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote; its probabilities are the same to the last bit.

        Raises:
            ValueError: The folder holds another model.
            RuntimeError: The weights do not fit.
        """
        hyperparameters, fitted = read_configuration(folder, cls.name)
        model = cls(**hyperparameters)
        model._rows = DenseEncoder.from_json(fitted["rows"])
        model._neighbours = NeighbourEncoder.from_json(fitted["neighbours"])
        model._best_epochs, model._fan_out = fitted["best_epochs"], fitted["fan_out"]
        architecture = Architecture.from_json(fitted["architecture"])
        model._networks = load_networks(folder / WEIGHTS, architecture, len(model._best_epochs))
        return model

    def resolved(self, name: str, num_events: int) -> float:
        """A hyper-parameter, or where it is None what suits the number of training events.

        Args:
            name: One of those that `DEFAULTS` names.
            num_events: Number of training events.
        """
        given: float | None = getattr(self, name)
        return DEFAULTS[num_events >= MANY_EVENTS][name] if given is None else given

    def _encode(self, events: EventSet) -> Neighbourhood:
        """Fit the encoders on training events; their neighbourhood."""
        self._fan_out = int(self.resolved("fan_out", len(events)))
        heard = events.build_neighbourhood(self._fan_out)
        self._rows = DenseEncoder().fit(events.features, events.weights)
        self._neighbours = NeighbourEncoder.fit(heard, events.weights)
        return heard

    def _maker(self, events: EventSet) -> BatchMaker:
        heard = events.build_neighbourhood(self._fan_out)
        return BatchMaker(events, heard, self._rows, self._neighbours)

    def _train(
        self,
        maker: BatchMaker,
        events: EventSet,
        last_epochs: Sequence[int],
        after_epoch: Callable[[int, Sequence[Learner]], None],
    ) -> list[EventNetwork]:
        """Train as many networks as there are last epochs."""
        architecture = self._architecture(maker, len(events))
        networks = []
        with torch.random.fork_rng(devices=[]):
            for member in range(len(last_epochs)):
                torch.manual_seed(_seed(self.seed, member))
                networks.append(EventNetwork(architecture))
                # Ranks start from the same weights, then drop different states.
                draw_from(networks[-1], _seed(self.seed, member, parallel.rank()))
            torch.manual_seed(_seed(self.seed, parallel.rank()))  # a GPU drops states by this
            schedule = Schedule(
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                weight_decay=self.resolved("weight_decay", len(events)),
                batch_size=int(self.resolved("batch_size", len(events))),
                seed=_seed(self.seed),
            )
            weights = events.weights_together
            return train(
                networks, last_epochs, maker, events.labels, weights, schedule, after_epoch
            )

    def _architecture(self, maker: BatchMaker, num_events: int) -> Architecture:
        return Architecture(
            row_width=self._rows.width,
            neighbour_width=self._neighbours.width,
            relations=maker.relations,
            grouped=maker.is_grouped,
            hidden=int(self.resolved("hidden", num_events)),
            heads=self.heads,
            dropout=self.resolved("dropout", num_events),
            input_dropout=self.input_dropout,
        )


def _seed(*numbers: int) -> int:
    """One seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
