"""Multi-layer perceptron on densely encoded features."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from data.reporter import Reporter
from returns.dense import DenseEncoder
from returns.event_set import EventSet
from returns.layout import feature_chunks
from returns.metrics import cross_entropy
from returns.models.base import ScoringBatches
from returns.models.saving import (
    Configured,
    read_configuration,
    require_learnable,
    write_configuration,
)
from returns.models.search_space import Choice, FloatRange, IntegerRange, SearchSpace
from returns.models.weight_file import read_weights, write_weights
from returns.reasons.contributions import Contributions
from returns.reasons.integrated_gradients import integrated_gradients

ARRAYS = "weights.safetensors"

ROWS_AT_ONCE = 1 << 15
"""Events scored at a time."""

PATH_STEPS = 128
"""Points of the path of integrated gradients; the kinks of the ReLU want many."""


@dataclass(eq=False)
class MLP(Configured):
    """Perceptron trained with Adam until the validation cross-entropy stops falling.

    Attributes:
        seed: Of initial weights, batches and dropout; the global generator is not touched.
        epochs: Passes over the training events at most.
        patience: Epochs without improvement before stopping; the best weights are kept.
        hidden_width: Width of the first hidden layer; each further one has half of the last.
        hidden_layers: Number of hidden layers.
        dropout: Share of hidden units dropped in training.
        learning_rate: Of Adam; halved after each epoch without improvement.
        weight_decay: Decoupled weight decay.
        batch_size: Events per step.
    """

    name: ClassVar[str] = "mlp"
    scoring_batches: ClassVar[ScoringBatches] = ScoringBatches(ROWS_AT_ONCE)
    search_space: ClassVar[SearchSpace] = {
        "hidden_width": IntegerRange(32, 512, log=True),
        "hidden_layers": IntegerRange(1, 3),
        "dropout": FloatRange(0.0, 0.6),
        "learning_rate": FloatRange(2e-4, 1e-2, log=True),
        "weight_decay": FloatRange(1e-6, 0.1, log=True),
        "batch_size": Choice((256, 512, 1024, 2048, 4096)),
    }

    epochs: int = 20
    patience: int = 3
    hidden_width: int = 128
    hidden_layers: int = 2
    dropout: float = 0.3
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    batch_size: int = 1024

    _encoder: DenseEncoder = field(init=False, repr=False)
    _network: nn.Sequential = field(init=False, repr=False)
    _rates: list[float] = field(init=False, repr=False, default_factory=list)

    def fit(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        """Learn from `train`; `validation` chooses the epoch whose weights are kept.

        Raises:
            ValueError: The training events are not of both classes, or labels are unknown.
        """
        require_learnable(train, validation)
        self._encoder = DenseEncoder().fit(train.features, train.weights)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._network = self._new_network()
            self._train(train, validation, reporter)

    def refit(self, events: EventSet, reporter: Reporter) -> None:
        """Learn anew from more events, at the learning rates of `fit` up to its best epoch.

        Args:
            events: Labelled events.
            reporter: Told of progress.
        """
        self._encoder = DenseEncoder().fit(events.features, events.weights)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._network = self._new_network()
            optimizer = self._new_optimizer()
            inputs = self._inputs(events)
            for epoch, rate in enumerate(self._rates):
                optimizer.param_groups[0]["lr"] = rate
                self._pass(*inputs, optimizer)
                reporter.progress(self.name, epoch + 1, len(self._rates))

    def predict_proba(self, events: EventSet) -> np.ndarray:
        """Probability that each event is returned, float64 `(num_events,)`."""
        self._network.eval()
        with torch.inference_mode():
            chunks = [
                self._network(torch.from_numpy(self._encoder.transform(chunk))).double().sigmoid()
                for chunk in feature_chunks(events.features, ROWS_AT_ONCE)
            ]
            return torch.cat([torch.empty(0, dtype=torch.float64), *chunks]).numpy()

    def contributions(self, events: EventSet, rows: np.ndarray) -> Contributions:
        """Integrated gradients from the median and no level, summed over each feature column."""
        self._network.eval()
        width = self._encoder.width
        base = self._network(torch.zeros(1, width)).double().detach().numpy()
        parts = [
            self._encoder.by_column(
                integrated_gradients(
                    lambda inputs: self._network(inputs[0]),
                    [torch.from_numpy(self._encoder.transform(chunk))],
                    steps=PATH_STEPS,
                )[0].numpy()
            )
            for chunk in feature_chunks(events.features.part(rows), ROWS_AT_ONCE)
        ]
        names = self._encoder.layout.names
        log_odds = np.concatenate([np.empty((0, len(names))), *parts])
        return Contributions(names, log_odds, np.repeat(base, len(rows)))

    @property
    def network(self) -> nn.Sequential:
        """The network, see `returns.models.prunable`."""
        return self._network

    def with_network(self, network: nn.Sequential) -> Self:
        """The same model with another network of the same shape."""
        other = copy.copy(self)
        other._network = network
        return other

    def mini_batches(
        self, events: EventSet, size: int, generator: np.random.Generator | None = None
    ) -> Iterator[tuple[Tensor, np.ndarray]]:
        """Encoded rows of events, all or drawn by weight, see `returns.models.prunable`."""
        rows = np.arange(len(events))
        if generator is not None:
            chances = events.weights / events.weights.max()
            rows = np.flatnonzero(generator.random(len(events)) < chances)
            generator.shuffle(rows)
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            yield torch.from_numpy(self._encoder.transform(events.features.part(batch))), batch

    def save(self, folder: Path) -> None:
        """Write the weights as safetensors, encoder and hyper-parameters as JSON."""
        write_weights(self._network.state_dict(), folder / ARRAYS)
        write_configuration(folder, self, {"encoder": self._encoder.to_json()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            ValueError: The folder holds another model.
            RuntimeError: The weights do not fit the network.
        """
        hyperparameters, fitted = read_configuration(folder, cls.name)
        model = cls(**hyperparameters)
        model._encoder = DenseEncoder.from_json(fitted["encoder"])
        with torch.device("meta"):  # draws no initial weights
            model._network = model._new_network()
        model._network.load_state_dict(read_weights(folder / ARRAYS), assign=True)
        return model

    def _new_network(self) -> nn.Sequential:
        layers: list[nn.Module] = []
        inputs, outputs = self._encoder.width, self.hidden_width
        for _ in range(self.hidden_layers):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(self.dropout)]
            inputs, outputs = outputs, outputs // 2
        return nn.Sequential(*layers, nn.Linear(inputs, 1), nn.Flatten(start_dim=0))

    def _inputs(self, events: EventSet) -> tuple[Tensor, Tensor, Tensor]:
        """Encoded rows, labels and weights."""
        return (
            torch.from_numpy(self._encoder.transform(events.features)),
            torch.from_numpy(events.labels.astype(np.float32)),
            torch.from_numpy(events.weights.astype(np.float32)),
        )

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self._network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )

    def _train(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        inputs = self._inputs(train)
        optimizer = self._new_optimizer()
        rates: list[float] = []
        best_loss, waited = np.inf, 0
        best_state = copy.deepcopy(self._network.state_dict())
        for epoch in range(self.epochs):
            reporter.progress(self.name, epoch, self.epochs)
            rates.append(optimizer.param_groups[0]["lr"])
            train_loss = self._pass(*inputs, optimizer)
            probabilities = self.predict_proba(validation)
            loss = cross_entropy(validation.labels, probabilities, validation.weights)
            reporter.metrics(
                {"train_cross_entropy": train_loss, "validation_cross_entropy": loss}, step=epoch
            )
            if loss < best_loss:
                best_loss, waited, self._rates = loss, 0, list(rates)
                best_state = copy.deepcopy(self._network.state_dict())
                continue
            waited += 1
            optimizer.param_groups[0]["lr"] /= 2
            if waited == self.patience:
                break
        self._network.load_state_dict(best_state)
        reporter.progress(self.name, self.epochs, self.epochs)

    def _pass(
        self, inputs: Tensor, labels: Tensor, weights: Tensor, optimizer: torch.optim.Optimizer
    ) -> float:
        """One pass over the training events in random order; the mean loss during it."""
        self._network.train()
        order = torch.randperm(len(labels))
        total = 0.0
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            log_odds = self._network(inputs[batch])
            losses = F.binary_cross_entropy_with_logits(log_odds, labels[batch], reduction="none")
            loss = (weights[batch] * losses).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(batch)
        return total / float(weights.sum())
