"""The events that an order line may hear: those of its customer, its variant, its item, ...

The graph seen from its edges: two purchases are neighbours by a relation if they share a node of
it. A list holds only what `returns.knowledge` lets be known of the past, so that a model that reads
nothing else cannot leak: of dated data the latest labelled events strictly before the order's day;
of undated data a uniform draw of other pairs' labelled events. Under `paper` no label of undated
data travels, as published: there the events of a customer are a group that is decoded together.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa

from data.dataset import Dataset
from data.schema import Role, columns_with_role, is_categorical
from returns.baskets import baskets_of
from returns.columns import quantity, take_or
from returns.comparisons import levels_as_numbers
from returns.drawing import Circles, pairs_of, places_of_keys, random_lots
from returns.history_keys import HistoryKeys, num_codes, quantity_values
from returns.knowledge import SELF_INFORMED, EventArrays, known_labels, taken_for_new
from returns.neighbourhood import Neighbourhood, NeighbourLists, offsets_of, ranges
from returns.protocol import Protocol
from returns.threads import in_threads
from returns.timeline import Timeline


def find_neighbours(
    dataset: Dataset,
    protocol: Protocol,
    keys: HistoryKeys,
    split: str,
    targets: np.ndarray,
    fan_out: int,
    label_delay_days: int = 0,
) -> Neighbourhood:
    """Find the neighbours of targets.

    Args:
        dataset: All events and node rows.
        protocol: Which columns are seen, and whether labels travel.
        keys: Relations of the source.
        split: One of `returns.knowledge.PARTS`.
        targets: Events of it, int64 `(num_targets,)`, ascending.
        fan_out: Most neighbours of a target by one relation.
        label_delay_days: Days after the order until its label is known (dated data).
    """
    arrays = EventArrays.of(dataset)
    single = keys.single(dataset, protocol)
    travels = labels_travel(dataset, protocol)
    heard = known_labels(dataset, split) & (arrays.returned >= 0) & travels
    search: _Latest | _Draw
    if arrays.day is None:
        search = _Draw.of(dataset, arrays, split, targets, heard)
    else:
        search = _Latest(targets, heard, arrays.day, label_delay_days)

    def lists_of(name: str) -> NeighbourLists:
        return search.lists_of(name, single[name], fan_out)

    names = keys.relations if travels else ()
    relations = dict(zip(names, in_threads(lists_of, names), strict=True))
    quantities = told_quantities(dataset, keys)
    label = np.where(heard, 2 * (arrays.returned == 1).astype(np.int8) - 1, 0)
    return Neighbourhood(
        targets=targets,
        relations=relations,
        label=label.astype(np.int8),
        day=arrays.day,
        codes=np.stack([code.astype(np.int32) for code in single.values()], axis=1),
        keys=tuple(single),
        quantities=np.array(list(quantities.values()), dtype=np.float32)
        .reshape(len(quantities), len(arrays.returned))
        .T.copy(),
        quantity_names=tuple(quantities),
        group=groups_of(dataset, split, targets, by_customer=not travels),
    )


def labels_travel(dataset: Dataset, protocol: Protocol) -> bool:
    """Whether events hear labels at all."""
    return dataset.is_dated or protocol is not Protocol.PAPER


def latest(events: np.ndarray, start: np.ndarray, end: np.ndarray, fan_out: int) -> NeighbourLists:
    """The latest events of each target's past.

    Args:
        events: Sorted by key, then day, `(num_sorted,)`.
        start: Where each target's past begins among them, int64 `(num_targets,)`.
        end: Where it ends, int64 `(num_targets,)`.
        fan_out: Most events of a target.
    """
    lengths = np.minimum(end - start, fan_out)
    chosen = events[ranges(end - lengths, lengths)]
    return NeighbourLists(offsets_of(lengths), chosen.astype(np.int32))


@dataclass(frozen=True)
class _Latest:
    """The latest events strictly before each target's day."""

    targets: np.ndarray
    heard: np.ndarray
    day: np.ndarray
    label_delay_days: int

    def lists_of(self, name: str, key: np.ndarray, fan_out: int) -> NeighbourLists:
        past = Timeline.of(key, self.day, self.targets, self.heard, self.label_delay_days)
        return latest(past.events, past.start, past.end, fan_out)


@dataclass(frozen=True)
class _Draw:
    """A uniform draw of the events that share a target's key, but for those of its own pair."""

    targets: np.ndarray
    heard: np.ndarray
    lots: np.ndarray
    size: int
    place: np.ndarray
    pair: np.ndarray
    taken_for_new: np.ndarray

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        arrays: EventArrays,
        split: str,
        targets: np.ndarray,
        heard: np.ndarray,
    ) -> Self:
        pair = pairs_of(arrays.customer, arrays.variant, num_codes(arrays.variant))
        if split in SELF_INFORMED:
            lots, size = random_lots(np.ones(len(heard), dtype=bool))
            new = taken_for_new(arrays.customer)
            return cls(targets, heard, lots, size, lots[targets], pair, new)
        lots, size = random_lots(heard)
        keys = dataset.events.select(["customer_key", "variant_key"]).take(pa.array(targets))
        place = places_of_keys(keys["customer_key"], keys["variant_key"], size)
        return cls(targets, heard, lots, size, place, pair, np.zeros(len(heard), dtype=bool))

    def lists_of(self, name: str, key: np.ndarray, fan_out: int) -> NeighbourLists:
        if name == "customer":
            key = np.where(self.taken_for_new, -1, key)
        circles = Circles.of(key, self.lots, self.size, self.heard, self.pair)
        return circles.draw(key[self.targets], self.place, self.pair[self.targets], fan_out)


def told_quantities(dataset: Dataset, keys: HistoryKeys) -> dict[str, np.ndarray]:
    """Quantities of each event's order line and of its variant, float64 `(num_events,)` each."""
    found = dict(quantity_values(dataset)) | levels_as_numbers(dataset, keys.numbered)
    rows = dataset.events["variant_row"]
    variants = dataset.variants
    for name in columns_with_role(variants.schema, [Role.CATALOGUE]):
        field = variants.schema.field(name)
        if not is_categorical(field) and not pa.types.is_date32(field.type):
            found[name] = take_or(quantity(variants[name]), rows, np.nan)
    return found


def groups_of(
    dataset: Dataset, split: str, targets: np.ndarray, by_customer: bool
) -> np.ndarray | None:
    """Targets that are decoded together, int64 `(num_targets,)`; None if each is alone.

    Args:
        dataset: All events.
        split: One of `returns.knowledge.PARTS`.
        targets: Events of it, int64 `(num_targets,)`.
        by_customer: Whether a customer's events are a group where there are no baskets.
    """
    group = baskets_of(dataset, targets)
    if group is None and by_customer:
        group = dataset.events["customer"].to_numpy()[targets]
    if group is None or split in SELF_INFORMED:
        return group
    # What is remembered beside the events that are scored does not change their order in batches.
    return pd.factorize(group)[0].astype(np.int64)
