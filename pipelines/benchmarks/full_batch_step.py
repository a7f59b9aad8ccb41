"""A step of full-batch training against the same model in stock PyG."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.charts import bars
from pipelines.benchmarks.measurement import PEAK, Measurement
from pipelines.benchmarks.measuring import peak_gib, resident_gib, times_in_turns
from pipelines.benchmarks.roofline import Machine, Work, roofline
from pipelines.benchmarks.stock_network import StockBatch, StockNetwork
from pipelines.benchmarks.synthetic_graph import synthetic_columns, synthetic_graph
from returns.features import MOST_LEVELS
from returns.models.graph_batch import GraphBatch, make_batch
from returns.models.sage import SAGE
from returns.models.sage_network import Architecture, ReturnNetwork, weighted_cross_entropy

OWN, STOCK = "sage", "stock PyG"
HAS_VIRTUAL_NODES = {"purchases alone": False, "with virtual nodes": True}
"""The graphs that are measured."""

TIME = "time"
NUMBER_BYTES = 4
"""Of a float, and of an edge's index where 32 bits suffice."""


@dataclass(frozen=True)
class Step:
    """One optimiser step of a network on a whole graph.

    Attributes:
        network: What is trained.
        optimizer: As `sage` is trained with.
        logits: Of all targets.
        loss: Weighted mean cross-entropy of all targets, with gradient.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    logits: Callable[[], Tensor]
    loss: Callable[[], Tensor]

    @classmethod
    def of_sage(cls, network: ReturnNetwork, batch: GraphBatch) -> "Step":
        """A step of this project's network."""
        optimizer = torch.optim.AdamW(network.parameters(), lr=SAGE.learning_rate)
        return cls(network, optimizer, lambda: network(batch), lambda: network.loss(batch))

    @classmethod
    def of_stock(cls, network: StockNetwork, batch: StockBatch) -> "Step":
        """A step of the network in stock PyG."""

        def loss() -> Tensor:
            return weighted_cross_entropy(network(batch), batch.labels, batch.weights)

        optimizer = torch.optim.AdamW(network.parameters(), lr=SAGE.learning_rate)
        return cls(network, optimizer, lambda: network(batch), loss)

    def __call__(self) -> None:
        """Forward, backward, update."""
        self.network.train()
        self.optimizer.zero_grad()
        self.loss().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


class FullBatchStep:
    """Forward, backward and update on a graph of GraphReturns' size, every event a target.

    Both networks have the same weights, inputs, widths, dropout and optimiser; that they compute
    the same is checked before anything is measured. Memory is what the process holds at most in two
    steps, above what it held with the graph and the columns of its events.
    """

    name: ClassVar[str] = "full_batch_step"
    title: ClassVar[str] = "one full-batch training step (synthetic graph)"
    is_kept: ClassVar[bool] = False

    def parts(self, settings: Settings) -> Sequence[str]:
        """Times of both, and the memory of each, for each graph."""
        return [f"{what}, {graph}" for graph in HAS_VIRTUAL_NODES for what in (TIME, OWN, STOCK)]

    def measure(self, part: str, settings: Settings) -> Sequence[Measurement]:
        """Measure both contenders' times, or one's memory."""
        what, subject = part.split(", ")
        graph = synthetic_graph(settings.scale, settings.seed, HAS_VIRTUAL_NODES[subject])
        columns = synthetic_columns(graph, settings.seed)
        torch.manual_seed(settings.seed)
        if what == TIME:
            return _times(graph, columns, subject, settings)
        before = resident_gib()
        step = make_steps(graph, columns, [what])[what]
        # What was needed to prepare the step counts for neither.
        resident_gib()

        def two_steps() -> None:
            step()
            step()

        return [Measurement(subject, what, PEAK, (peak_gib(two_steps) - before,))]

    def conclude(self, measurements: Sequence[Measurement]) -> Sequence[Measurement]:
        """Nothing more."""
        return []

    def figures(self, measurements: Sequence[Measurement]) -> Mapping[str, Figure]:
        """Bars of both contenders."""
        return {self.name: bars(measurements, self.title)}


def make_steps(
    graph: HeteroData, columns: np.ndarray, contenders: Sequence[str]
) -> dict[str, Step]:
    """Steps of contenders with the same weights on the same graph.

    Args:
        graph: As `synthetic_graph` makes it.
        columns: Encoded columns of its events, float32 `(num_events, width)`.
        contenders: `OWN`, `STOCK` or both.
    """
    levels = {
        kind: {level: 1 + code for code, level in enumerate(graph[kind].level)}
        for kind in graph.node_types
        if "level" in graph[kind] and graph[kind].num_nodes <= MOST_LEVELS
    }
    batch = make_batch(graph, columns, np.ones(len(columns), np.float32), levels)
    model = SAGE()
    architecture = Architecture(
        input_widths={kind: inputs.shape[1] for kind, inputs in batch.inputs.items()},
        num_levels={kind: len(levels.get(kind, {})) for kind in batch.levels},
        relations=tuple(batch.relations),
        event_width=batch.events.shape[1],
        has_baskets=False,
        hidden=model.hidden,
        decoder_hidden=model.decoder_hidden,
        num_layers=model.num_layers,
        dropout=model.dropout,
    )
    network = ReturnNetwork(architecture)
    steps = {}
    if OWN in contenders:
        steps[OWN] = Step.of_sage(network, batch)
    if STOCK in contenders:
        steps[STOCK] = Step.of_stock(StockNetwork.like(network), StockBatch.of(graph, batch))
    return steps


def require_same_output(steps: Mapping[str, Step]) -> None:
    """See that both networks compute the same.

    Raises:
        RuntimeError: They do not.
    """
    logits = []
    for step in steps.values():
        step.network.eval()
        with torch.no_grad():
            logits.append(step.logits())
    own, stock = logits
    if not torch.allclose(own, stock, rtol=1e-3, atol=1e-4):
        raise RuntimeError(f"the networks differ by up to {(own - stock).abs().max():.2g}")


def least_arithmetic(graph: HeteroData, columns: np.ndarray) -> float:
    """Floating point operations of a step's dense products.

    Each product runs once forward, and backward once for its weights and once for its input, unless
    that is given. Means commute with products, which run on the side with fewer nodes.

    Args:
        graph: As `synthetic_graph` makes it.
        columns: Encoded columns of its events, float32 `(num_events, width)`.
    """
    model = SAGE()
    hidden, wide = model.hidden, model.decoder_hidden
    read = ("customer", "variant")
    # Beside its columns a node shows whether it has a row, and three sums of its messages.
    inputs = sum(graph[kind].num_nodes * (graph[kind].x.shape[1] + 4) for kind in read)
    encoder = 2 * hidden * inputs
    multiplied = 0
    for number in range(model.num_layers):
        is_last = number == model.num_layers - 1
        heard = [r for r in graph.edge_types if not is_last or r[2] in read]
        multiplied += sum(graph[kind].num_nodes for kind in {relation[2] for relation in heard})
        multiplied += sum(min(graph[r[0]].num_nodes, graph[r[2]].num_nodes) for r in heard)
    rounds = 3 * hidden**2 * multiplied
    num_events, width = columns.shape
    first = num_events * wide * (3 * 2 * hidden + 2 * width)
    rest = 3 * num_events * (wide * wide // 2 + wide // 2)
    return 2.0 * float(encoder + rounds + first + rest)


def least_traffic(graph: HeteroData, columns: np.ndarray) -> float:
    """Bytes that a step must read or write at least, each array once a product.

    Forward, each round reads the states of its nodes and its edges, and writes new states;
    backward, it reads both states again and the edges' other direction, reads the gradient of the
    one and writes that of the other. The decoder reads states of each target's nodes and writes
    their gradients, which are read once more to be added up. Activations of the decoder, and
    of a node between its round's products, may stay in the caches.

    Args:
        graph: As `synthetic_graph` makes it.
        columns: Encoded columns of its events, float32 `(num_events, width)`.
    """
    model = SAGE()
    num_nodes = sum(graph[kind].num_nodes for kind in graph.node_types)
    num_edges = sum(graph[relation].edge_index.shape[1] for relation in graph.edge_types)
    states = num_nodes * model.hidden
    inputs = graph["customer"].x.numel() + graph["variant"].x.numel()
    # Source and weight of each edge, start of each destination's.
    edges = 2 * num_edges + num_nodes
    one_round = 2 * states + edges + 4 * states + edges
    encoder = (inputs + states) + (inputs + 2 * states)
    picked = 2 * len(columns) * model.hidden
    decoder = 3 * picked + columns.size + 2 * states
    return NUMBER_BYTES * float(encoder + model.num_layers * one_round + decoder)


def _times(
    graph: HeteroData, columns: np.ndarray, subject: str, settings: Settings
) -> list[Measurement]:
    steps = make_steps(graph, columns, (OWN, STOCK))
    require_same_output(steps)
    machine = Machine.measure()
    least = Work(least_arithmetic(graph, columns), least_traffic(graph, columns))
    return [
        *times_in_turns(subject, steps, settings.repeats),
        *roofline(subject, machine, least),
    ]
