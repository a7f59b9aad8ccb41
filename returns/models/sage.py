"""GraphSAGE as a return classifier, trained full-batch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch_geometric.data import HeteroData

from data.reporter import Reporter
from returns.dense import DenseEncoder
from returns.event_set import EventSet
from returns.features import MOST_LEVELS
from returns.models.base import ALL_TOGETHER, ScoringBatches
from returns.models.graph_batch import GraphBatch, make_batch
from returns.models.sage_network import Architecture, ReturnNetwork, weighted_cross_entropy
from returns.models.saving import (
    hyperparameters_of,
    read_configuration,
    require_learnable,
    write_configuration,
)

WEIGHTS = "sage.safetensors"

DEFAULT_STEPS = 150
"""Optimiser steps where no number of epochs is given."""


@dataclass
class SAGE:
    """Heterogeneous GraphSAGE with an edge decoder; one optimiser step per graph.

    Attributes:
        seed: Seed of weights, dropout and the order of graphs.
        epochs: Passes over the training graphs; None: as many as make
            `DEFAULT_STEPS` steps.
        hidden: Width of node states.
        decoder_hidden: Width of the decoder.
        num_layers: Rounds of message passing.
        dropout: Share of the decoder's states dropped in training.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Decoupled weight decay.
        patience: Share of the epochs without a better validation loss after which to stop.
    """

    name: ClassVar[str] = "sage"
    scoring_batches: ClassVar[ScoringBatches] = ALL_TOGETHER

    seed: int = 0
    epochs: int | None = None
    hidden: int = 32
    decoder_hidden: int = 64
    num_layers: int = 2
    dropout: float = 0.3
    learning_rate: float = 0.005
    weight_decay: float = 1e-4
    patience: float = 0.3

    def __post_init__(self) -> None:
        """Start unfitted."""
        self._encoder = DenseEncoder()
        self._levels: dict[str, dict[str, int]] = {}
        self._network: ReturnNetwork | None = None
        self._best_epoch = 0

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return hyperparameters_of(self)

    def fit(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        """Learn from the training graphs; keep the weights of the best validation loss."""
        require_learnable(train, validation)
        self._learn(train, validation, reporter)

    def refit(self, events: EventSet, reporter: Reporter) -> None:
        """Learn anew for as many epochs as `fit` found best.

        Args:
            events: Labelled events.
            reporter: Told of progress.
        """
        self._learn(events, None, reporter)

    def _learn(self, train: EventSet, validation: EventSet | None, reporter: Reporter) -> None:
        self._encoder.fit(train.features, train.weights)
        graphs = train.build_graphs()
        self._levels = _embedded_levels(graphs)
        batches = self._batches(train, graphs)
        del graphs
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            if validation is None:
                self._train(batches, (), self._best_epoch + 1, reporter)
            else:
                held_out = self._batches(validation, validation.build_graphs())
                self._train(batches, held_out, None, reporter)

    def predict_proba(self, events: EventSet) -> np.ndarray:
        """Probability that each event is returned, float64 `(num_events,)`, uncalibrated."""
        probabilities = np.empty(len(events), dtype=np.float64)
        network = self._fitted().eval()
        with torch.inference_mode():
            for batch in self._batches(events, events.build_graphs()):
                probabilities[batch.position.numpy()] = network(batch).double().sigmoid().numpy()
        return probabilities

    def save(self, folder: Path) -> None:
        """Write weights as safetensors, the rest as JSON."""
        network = self._fitted()
        save_file(network.state_dict(), folder / WEIGHTS)
        fitted = {
            "architecture": network.architecture.to_json(),
            "encoder": self._encoder.to_json(),
            "levels": self._levels,
        }
        write_configuration(folder, self, fitted)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote; its probabilities are the same to the last bit."""
        hyperparameters, fitted = read_configuration(folder, cls.name)
        model = cls(**hyperparameters)
        model._encoder = DenseEncoder.from_json(fitted["encoder"])
        model._levels = fitted["levels"]
        model._network = ReturnNetwork(Architecture.from_json(fitted["architecture"]))
        model._network.load_state_dict(load_file(folder / WEIGHTS))
        return model

    def _fitted(self) -> ReturnNetwork:
        if self._network is None:
            raise ValueError("the model is not fitted")
        return self._network

    def _batches(self, events: EventSet, graphs: Sequence[HeteroData]) -> list[GraphBatch]:
        dense = self._encoder.transform(events.features)
        weights = events.weights_together
        return [make_batch(graph, dense, weights, self._levels) for graph in graphs]

    def _train(
        self,
        train: Sequence[GraphBatch],
        validation: Sequence[GraphBatch],
        last_epoch: int | None,
        reporter: Reporter,
    ) -> None:
        """Train a new network.

        Args:
            train: Graphs to learn from.
            validation: Graphs that choose the epoch whose weights are kept; none: the last.
            last_epoch: Epochs after which to stop; None: all.
            reporter: Told of progress and losses.
        """
        network = self._network = ReturnNetwork(self._architecture(train[0]))
        epochs = self.epochs or math.ceil(DEFAULT_STEPS / len(train))
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=epochs * len(train)
        )
        best_loss, best_weights = math.inf, _copy_of_weights(network)
        for epoch in range(last_epoch or epochs):
            losses = []
            for number in torch.randperm(len(train)).tolist():
                network.train()
                optimizer.zero_grad()
                batch = train[number]
                loss = network.loss(batch)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
            reporter.progress(self.name, epoch + 1, last_epoch or epochs)
            if not validation:
                continue
            validation_loss = _mean_loss(network, validation)
            reporter.metrics(
                {
                    "train_cross_entropy": sum(losses) / len(losses),
                    "validation_cross_entropy": validation_loss,
                },
                epoch,
            )
            if validation_loss < best_loss:
                best_loss, self._best_epoch = validation_loss, epoch
                best_weights = _copy_of_weights(network)
            elif epoch - self._best_epoch > self.patience * epochs:
                break
        if validation:
            network.load_state_dict(best_weights)

    def _architecture(self, batch: GraphBatch) -> Architecture:
        return Architecture(
            input_widths={kind: inputs.shape[1] for kind, inputs in batch.inputs.items()},
            num_levels={kind: len(self._levels.get(kind, {})) for kind in batch.levels},
            relations=tuple(batch.relations),
            event_width=batch.events.shape[1],
            has_baskets=batch.baskets is not None,
            hidden=self.hidden,
            decoder_hidden=self.decoder_hidden,
            num_layers=self.num_layers,
            dropout=self.dropout,
        )


def _embedded_levels(graphs: Sequence[HeteroData]) -> dict[str, dict[str, int]]:
    """Codes from 1 of the levels of virtual node types that have few enough of them."""
    codes = {}
    for kind in graphs[0].node_types:
        if "level" in graphs[0][kind]:
            levels = sorted({level for graph in graphs for level in graph[kind].level})
            few = len(levels) <= MOST_LEVELS
            codes[kind] = {level: 1 + i for i, level in enumerate(levels)} if few else {}
    return codes


def _mean_loss(network: ReturnNetwork, batches: Sequence[GraphBatch]) -> float:
    network.eval()
    total = weight = 0.0
    with torch.inference_mode():
        for batch in batches:
            loss = weighted_cross_entropy(network(batch), batch.labels, batch.weights)
            total += loss.item() * batch.weights.sum().item()
            weight += batch.weights.sum().item()
    return total / weight


def _copy_of_weights(network: ReturnNetwork) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in network.state_dict().items()}
