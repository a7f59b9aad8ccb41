"""The GraphReturns authors' own graph network and training scheme, as a baseline of ours."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F  # noqa: N812
from torch_geometric.data import HeteroData

from data.reporter import Reporter
from returns.event_set import EventSet, FeatureMatrix
from returns.graph import PURCHASES
from returns.metrics import cross_entropy
from returns.models.base import ALL_TOGETHER, ScoringBatches
from returns.models.gnn_paper_network import PaperArchitecture, PaperNetwork, paper_graph
from returns.models.saving import (
    hyperparameters_of,
    read_configuration,
    require_learnable,
    write_configuration,
)
from returns.sampling.mini_batches import mini_batches
from returns.sampling.sampler import NeighbourSampler

WEIGHTS = "gnn-paper.safetensors"

SCORED_AT_ONCE = 1 << 13
"""Events scored at a time."""

FILTERS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "customer_return_rate": lambda rate: rate < 1,
    "returns_per_customer": lambda returns: returns < 400,
    "sales_per_customer": lambda sales: (sales > 3) & (sales < 500),
    "year_of_birth": lambda year: year > 1920,
    "product_return_rate": lambda rate: rate < 1,
    "returns_per_product": lambda returns: returns < 1000,
    "sales_per_product": lambda sales: (sales > 3) & (sales < 5000),
    "average_price_gbp": lambda price: price <= 500,
}
"""What the authors' code keeps, by column; a missing row, whose columns are unknown, it drops."""


@dataclass(eq=False)
class GNNPaper:
    """Heterogeneous max-GraphSAGE as McGowan et al. (arXiv 2302.14096) train it.

    Theirs: the network (see `returns.models.gnn_paper_network`), Adam, batches of 2,048 customers
    with two neighbours, the loss averaged over all batches of an epoch before the one optimiser
    step, the weights of the best validation loss, and filters on training events. Labels of
    earlier events and event columns, which other models use, it does not know.

    Ours: the protocol. All events of a split are scored and micro-averaged, none is filtered from
    validation or test, and messages are those of the event set's graphs, under the strict protocol
    of other folds or earlier times. Two neighbours are drawn per relation and hop, in as many hops
    as rounds, where they induce the subgraph of one hop, so that what else is in the batch does
    not change a score. They train 2,000 epochs; as each is a single step that hears all events,
    the default here is 300, and fewer once the validation loss has not fallen for `patience`
    epochs.

    Attributes:
        seed: Of initial weights, dropout, batches and sampled neighbours.
        epochs: Optimiser steps at most; each hears all training events' customers.
        patience: Epochs without improvement before stopping.
        hidden: Width of node states.
        decoder_hidden: Width of the decoder.
        num_layers: Rounds of message passing.
        dropout: Share of states dropped in training.
        learning_rate: Of Adam.
        customers_per_batch: Customers whose events make a batch.
        neighbours: Most edges of each relation that a node hears in a hop, and most events of a
            customer in an epoch.
        filtered: Learn only from events that the authors' filters keep. They need columns that
            the release has under the paper protocol alone; where any is lacking, all are kept.
    """

    name: ClassVar[str] = "gnn-paper"
    scoring_batches: ClassVar[ScoringBatches] = ALL_TOGETHER

    seed: int = 0
    epochs: int = 300
    patience: int = 50
    hidden: int = 16
    decoder_hidden: int = 64
    num_layers: int = 2
    dropout: float = 0.2
    learning_rate: float = 1e-3
    customers_per_batch: int = 2048
    neighbours: int = 2
    filtered: bool = True

    def __post_init__(self) -> None:
        """Start unfitted."""
        self._network: PaperNetwork | None = None
        self._best_epoch = 0

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return hyperparameters_of(self)

    def fit(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        """Learn from the training graphs; keep the weights of the best validation loss.

        Raises:
            ValueError: Nothing can be learned from the events, or from those the filters keep.
        """
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
        kept = authors_filter(train.features) if self.filtered else np.ones(len(train), dtype=bool)
        if len(np.unique(train.labels[kept])) < 2:
            raise ValueError("the authors' filters leave too little: set `filtered` to false")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._train(train, kept, validation, reporter)

    def predict_proba(self, events: EventSet) -> np.ndarray:
        """Probability that each event is returned, float64 `(num_events,)`, uncalibrated."""
        return self._score(self._sampled(events, redraw=False), len(events))

    def save(self, folder: Path) -> None:
        """Write weights as safetensors, the rest as JSON."""
        network = self._fitted()
        save_file(network.state_dict(), folder / WEIGHTS)
        write_configuration(folder, self, {"architecture": network.architecture.to_json()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote; its probabilities are the same to the last bit."""
        hyperparameters, fitted = read_configuration(folder, cls.name)
        model = cls(**hyperparameters)
        architecture = PaperArchitecture.from_json(fitted["architecture"])
        with torch.random.fork_rng(devices=[]):
            model._network = PaperNetwork(architecture)
        model._network.load_state_dict(load_file(folder / WEIGHTS))
        return model

    def _fitted(self) -> PaperNetwork:
        if self._network is None:
            raise ValueError("the model is not fitted")
        return self._network

    def _sampled(self, events: EventSet, redraw: bool) -> "list[_SampledGraph]":
        sampled = []
        for whole in events.build_graphs():
            graph = paper_graph(whole)
            # Without labels in the messages, seeds may be among them, as in the authors' code.
            sampler = NeighbourSampler(
                graph,
                [self.neighbours] * self.num_layers,
                hide_seeds=False,
                redraw=redraw,
                seed=self.seed,
            )
            sampled.append(_SampledGraph(graph, sampler))
        return sampled

    def _train(
        self, train: EventSet, kept: np.ndarray, validation: EventSet | None, reporter: Reporter
    ) -> None:
        graphs = self._sampled(train, redraw=True)
        validation_graphs = [] if validation is None else self._sampled(validation, redraw=False)
        epochs = self.epochs if validation is not None else self._best_epoch + 1
        network = self._network = PaperNetwork(self._architecture(graphs[0].graph))
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        generator = np.random.default_rng(self.seed)
        weights = torch.from_numpy(train.weights)
        best_loss, waited = math.inf, 0
        best_state = copy.deepcopy(network.state_dict())
        for epoch in range(epochs):
            reporter.progress(self.name, epoch, epochs)
            dealt = [self._deal(each, kept, generator) for each in graphs]
            train_loss = _step(network, optimizer, graphs, dealt, weights)
            if validation is None:
                continue
            probabilities = self._score(validation_graphs, len(validation))
            loss = cross_entropy(validation.labels, probabilities, validation.weights)
            reporter.metrics(
                {"train_cross_entropy": train_loss, "validation_cross_entropy": loss}, step=epoch
            )
            if loss < best_loss:
                best_loss, waited, self._best_epoch = loss, 0, epoch
                best_state = copy.deepcopy(network.state_dict())
                continue
            waited += 1
            if waited == self.patience:
                break
        if validation is not None:
            network.load_state_dict(best_state)
        reporter.progress(self.name, epochs, epochs)

    def _deal(
        self, sampled: "_SampledGraph", kept: np.ndarray, generator: np.random.Generator
    ) -> list[np.ndarray]:
        targets = np.flatnonzero(kept[sampled.graph.position.numpy()])
        customer = sampled.graph[PURCHASES].edge_label_index[0].numpy()[targets]
        batches = deal_customers(customer, self.customers_per_batch, self.neighbours, generator)
        return [targets[batch] for batch in batches]

    def _score(self, graphs: "Sequence[_SampledGraph]", number: int) -> np.ndarray:
        network = self._fitted().eval()
        probabilities = np.empty(number, dtype=np.float64)
        with torch.inference_mode():
            for sampled in graphs:
                targets = np.arange(len(sampled.graph.position))
                starts = range(0, len(targets), SCORED_AT_ONCE)
                for batch in sampled.load([targets[i : i + SCORED_AT_ONCE] for i in starts]):
                    scores = network(batch).double().sigmoid()
                    probabilities[batch.position.numpy()] = scores.numpy()
        return probabilities

    def _architecture(self, graph: HeteroData) -> PaperArchitecture:
        return PaperArchitecture(
            input_widths={kind: graph[kind].x.shape[1] for kind in graph.node_types},
            relations=tuple(graph.edge_types),
            hidden=self.hidden,
            decoder_hidden=self.decoder_hidden,
            num_layers=self.num_layers,
            dropout=self.dropout,
        )


@dataclass(frozen=True)
class _SampledGraph:
    """A graph as the authors have it, and the sampler of its neighbourhoods."""

    graph: HeteroData
    sampler: NeighbourSampler

    def load(self, batches: Sequence[np.ndarray]) -> Iterator[HeteroData]:
        yield from mini_batches(self.graph, self.sampler, batches)


def authors_filter(features: FeatureMatrix) -> np.ndarray:
    """Whether the authors' filters keep each event, bool `(num_events,)`; see `FILTERS`."""
    kept = np.ones(len(features), dtype=bool)
    if set(FILTERS) <= set(features.numeric_names):
        for name, keeps in FILTERS.items():
            kept &= keeps(features.numeric[:, features.numeric_names.index(name)])
    return kept


def deal_customers(
    customer: np.ndarray, customers_per_batch: int, most: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Deal customers into batches at random, each with a few of its events.

    Args:
        customer: Customer of each event, int64 `(num_events,)`.
        customers_per_batch: Customers of a batch; the last may have fewer.
        most: Events of a customer at most, drawn at random.
        generator: Draws.

    Returns:
        Numbers of the events of each batch.
    """
    if not len(customer):
        return []
    shuffled = generator.permutation(len(customer))
    order = shuffled[np.argsort(customer[shuffled], kind="stable")]
    _, first, number = np.unique(customer[order], return_index=True, return_counts=True)
    batch_of_customer = generator.permutation(len(first)) // customers_per_batch
    rank = np.arange(len(order)) - np.repeat(first, number)
    batch = np.repeat(batch_of_customer, number)[rank < most]
    chosen = order[rank < most][np.argsort(batch, kind="stable")]
    return np.split(chosen, np.cumsum(np.bincount(batch))[:-1])


def _step(
    network: PaperNetwork,
    optimizer: torch.optim.Optimizer,
    graphs: Sequence[_SampledGraph],
    batches: Sequence[Sequence[np.ndarray]],
    weights: torch.Tensor,
) -> float:
    """One optimiser step on the mean loss of all batches of all graphs; that mean."""
    network.train()
    optimizer.zero_grad()
    number = sum(map(len, batches))
    total = 0.0
    for sampled, dealt in zip(graphs, batches, strict=True):
        for batch in sampled.load(dealt):
            loss = F.binary_cross_entropy_with_logits(
                network(batch), batch[PURCHASES].edge_label, weights[batch.position]
            )
            (loss / number).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach()) / number
    optimizer.step()
    return total
