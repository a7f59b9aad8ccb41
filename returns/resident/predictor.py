"""Scores small requests at once and large ones in portions: the past is prepared beforehand."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa

from data.dataset import Dataset
from data.sources.base import SourceTables
from returns.event_set import EventSet
from returns.knowledge import PARTS
from returns.memory import Memory
from returns.predictor import ReturnPredictor
from returns.resident.dated import DatedMemory
from returns.resident.events import RequestEvents
from returns.resident.levels import Levels
from returns.resident.neighbours import RememberedEvents
from returns.resident.portions import WaitingRows, portions
from returns.resident.request import Request
from returns.resident.undated import UndatedMemory


@dataclass(frozen=True)
class ResidentPredictor:
    """Gives the probabilities of a `ReturnPredictor`, to the last bit, for less work.

    Models that read whole graphs (`sage`, `gnn-paper`) are given the whole graph and gain nothing.

    Attributes:
        predictor: The predictor.
        memory: Its memory, each table in one piece.
        levels: Codes of remembered customers, variants and attributes.
        rows: Row of each customer and variant in its node table, int64, -1 where there is none.
        history: What the past may be asked for.
        events: The past events that may be heard.
    """

    predictor: ReturnPredictor
    memory: Memory
    levels: dict[str, Levels]
    rows: dict[str, np.ndarray]
    history: DatedMemory | UndatedMemory
    events: RememberedEvents

    @classmethod
    def of(cls, predictor: ReturnPredictor) -> Self:
        """Prepare what a predictor remembers.

        Args:
            predictor: A fitted predictor.
        """
        tables = predictor.memory.tables
        memory = replace(
            predictor.memory,
            tables=replace(
                tables,
                events=tables.events.combine_chunks(),
                customers=tables.customers.combine_chunks(),
                variants=tables.variants.combine_chunks(),
            ),
        )
        past = memory.with_new(_nothing(tables))
        preparation = predictor.preparation
        keys, protocol = preparation.keys, preparation.protocol
        single = keys.single(past, protocol)
        history: DatedMemory | UndatedMemory = (
            DatedMemory.of(past, keys, single) if past.is_dated else UndatedMemory.of(past, single)
        )
        return cls(
            predictor=predictor,
            memory=memory,
            levels={name: Levels(each) for name, each in keys.levels(past, protocol).items()},
            rows={
                "customer": _row_of_each(past.customers["customer"].to_numpy(), single["customer"]),
                "variant": _row_of_each(past.variants["variant"].to_numpy(), single["variant"]),
            },
            history=history,
            events=RememberedEvents.of(past, protocol, keys, single),
        )

    def score(self, new: SourceTables, reasons: int = 0) -> pa.Table:
        """Score events as `ReturnPredictor.score` does.

        Args:
            new: Events in canonical columns with original keys, and their node rows.
            reasons: Main reasons wanted of each event at most; see there.

        Returns:
            As there.
        """
        row_ids = new.events["row_id"]
        return self.predictor.score_prepared(row_ids, self.event_set(new), reasons)

    def score_in_portions(
        self, new: SourceTables, most: int, reasons: int = 0
    ) -> Iterator[pa.Table]:
        """Score events as `score` does, some at a time, so that few take memory at once.

        Of all events only their own columns, codes and history are held, not their features,
        neighbours or scores. The scores are the same to the last bit, whatever `most` is. A model
        that reads whole graphs scores all events together.

        Args:
            new: Events in canonical columns with original keys, and their node rows.
            most: Events scored at a time; as many more as the model's last batch of them takes.
            reasons: As of `score`.

        Yields:
            Consecutive rows of what `score` returns, in the order given; perhaps none of them, but
            at least one table.
        """
        row_ids, batches = new.events["row_id"], self.predictor.model.scoring_batches
        events = self._events_of(new)
        num_events = len(events.request)
        waiting = WaitingRows()
        for portion in portions(num_events, batches, events.groups, most):
            scores = self.predictor.score_prepared(
                row_ids.take(pa.array(portion.rows)), events.event_set(portion), reasons
            )
            yield waiting.complete(portion, scores)

    def event_set(self, new: SourceTables) -> EventSet:
        """The events in every form that a model may ask for.

        Args:
            new: Events in canonical columns with original keys, and their node rows.
        """
        return self._events_of(new).all_lines()

    def _events_of(self, new: SourceTables) -> RequestEvents:
        preparation = self.predictor.preparation
        keys, protocol = preparation.keys, preparation.protocol
        return RequestEvents(
            request=Request.of(self._lines_of(new), keys, protocol, self.levels),
            preparation=preparation,
            history=self.history,
            remembered=self.events,
            build_graphs=lambda: preparation.graphs_of(*_test_part(self.memory.with_new(new))),
        )

    def _lines_of(self, new: SourceTables) -> Dataset:
        """The new events and their node rows, as they would stand beside everything remembered."""
        tables = self.memory.tables
        own = {
            kind: self.levels[kind].codes(new.events[f"{kind}_key"].unique())
            for kind in ("customer", "variant")
        }
        rows = {kind: self.rows[kind][codes[codes >= 0]] for kind, codes in own.items()}
        rows = {kind: np.sort(row[row >= 0]) for kind, row in rows.items()}
        part = replace(
            tables,
            events=tables.events.slice(0, 0),
            customers=tables.customers.take(pa.array(rows["customer"])),
            variants=tables.variants.take(pa.array(rows["variant"])),
        )
        return replace(self.memory, tables=part).with_new(new)


def _nothing(tables: SourceTables) -> SourceTables:
    """No new events and no node rows."""
    return replace(
        tables,
        events=tables.events.slice(0, 0),
        customers=tables.customers.slice(0, 0),
        variants=tables.variants.slice(0, 0),
    )


def _row_of_each(node_of_row: np.ndarray, node_of_event: np.ndarray) -> np.ndarray:
    """Row of each node, int64 `(num_nodes,)`, -1 where it has none."""
    number = 1 + max(node_of_row.max(initial=-1), node_of_event.max(initial=-1))
    row = np.full(number, -1, dtype=np.int64)
    row[node_of_row] = np.arange(len(node_of_row))
    return row


def _test_part(dataset: Dataset) -> tuple[Dataset, str, np.ndarray]:
    return dataset, "test", np.flatnonzero(dataset.split_mask(*PARTS["test"]))
