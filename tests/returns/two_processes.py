"""What each of two processes does for `test_parallel.py`; run as `two_processes.py FOLDER RANK`."""

import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.nn import functional as F  # noqa: N812

from data.dataset import index_tables
from data.reporter import SilentReporter
from data.sources.base import SourceTables
from returns import parallel
from returns.dense import DenseEncoder
from returns.event_set import EventSet
from returns.knowledge import LEARNING
from returns.models.gnn import GNN
from returns.models.gnn_batch import BatchMaker, NeighbourEncoder
from returns.models.gnn_network import Architecture, EventNetwork
from returns.models.stack import Stack
from returns.preparation import Preparation
from returns.protocol import Protocol

NUM_PROCESSES = 2


def event_sets(tables: SourceTables) -> dict[str, EventSet]:
    dataset, _ = index_tables(tables)
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    parts = ("train", "validation", "test", LEARNING)
    return {part: preparation.event_set(dataset, part) for part in parts}


def gradients(events: EventSet) -> list[np.ndarray]:
    """Mean loss and its gradient of each batch, float64, nothing dropped."""
    heard = events.build_neighbourhood(8)
    rows = DenseEncoder().fit(events.features, events.weights)
    neighbours = NeighbourEncoder.fit(heard, events.weights)
    maker = BatchMaker(events, heard, rows, neighbours)
    shape = (rows.width, neighbours.width, maker.relations, maker.is_grouped)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EventNetwork(Architecture(*shape, hidden=16, heads=2, dropout=0, input_dropout=0))
    network.double()
    labels, weights = (
        torch.from_numpy(np.float64(each)) for each in (events.labels, events.weights)
    )
    # The last batch is one group: the other process has no event of it.
    size = len(events) - 1
    found = []
    for batch in maker.batches(size, None, parallel.rank(), parallel.world_size()):
        network.zero_grad()
        relations = {
            name: replace(each, features=each.features.double())
            for name, each in batch.relations.items()
        }
        log_odds = network(replace(batch, rows=batch.rows.double(), relations=relations))
        own, weight = labels[batch.positions], weights[batch.positions]
        losses = F.binary_cross_entropy_with_logits(log_odds, own, reduction="none")
        loss = (weight * losses).sum()
        loss.backward()
        mean = parallel.sum_gradients(network.parameters(), loss, weight.sum())
        flat = [parameter.grad.flatten() for parameter in network.parameters()]
        found.append(torch.cat([mean[None], *flat]).numpy())
    return found


def weights_of(model: GNN) -> np.ndarray:
    return np.concatenate(
        [
            weight.numpy().ravel()
            for network in model._networks
            for weight in network.state_dict().values()
        ]
    )


def learned(sets: dict[str, EventSet], seed: int = 0) -> dict[str, np.ndarray]:
    """Weights and probabilities of the test split, after fitting and after refitting."""
    model = GNN(seed=seed, members=1, epochs=2, hidden=16, heads=2, batch_size=128)
    model.fit(sets["train"], sets["validation"], SilentReporter())
    found = {"weights": weights_of(model), "scores": model.predict_proba(sets["test"])}
    model.refit(sets[LEARNING], SilentReporter())
    return found | {
        "epochs": np.array(model._best_epochs),
        "refitted": weights_of(model),
        "refitted scores": model.predict_proba(sets["test"]),
    }


def main(folder: Path, rank: int) -> None:
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", store, rank=rank, world_size=NUM_PROCESSES)
    written = (folder / "cases.pickle").read_bytes()
    cases: dict[str, SourceTables] = pickle.loads(written)  # noqa: S301 (by the test, just now)
    results: dict[str, object] = {
        "shared": parallel.shared(f"from {rank}"),
        "gathered": parallel.gathered(rank),
        "summed": parallel.summed(np.array([1.5, rank])),
    }
    for name, tables in cases.items():
        sets = event_sets(tables)
        results[name] = learned(sets)
        if name.endswith("as they are"):
            results[f"{name}, again"] = learned(sets)
            results[f"{name}, gradients"] = gradients(sets["train"])
    stack = Stack(epochs=1)
    stack.fit(sets["train"], sets["validation"], SilentReporter())
    stack.refit(sets[LEARNING], SilentReporter())
    results["stack"] = weights_of(stack._graph)
    if rank == 1:
        (folder / "1.pickle").write_bytes(pickle.dumps(results))
        os._exit(3)
    results["stack's scores"] = stack.predict_proba(sets["test"])
    try:
        parallel.summed(np.zeros(1))
    except parallel.ProcessLostError as error:
        results["lost"] = str(error)
    (folder / "0.pickle").write_bytes(pickle.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
