"""The events that an order line may hear: those of its customer, its variant, its item, ...

The graph seen from its edges: two purchases are neighbours by a relation if they share a node of
it. A list holds only what `returns.knowledge` lets be known of the past, so that a model that reads
nothing else cannot leak: of dated data the latest labelled events strictly before the order's day;
of undated data a uniform draw of other pairs' labelled events. Under `paper` no label of undated
data travels, as published: there the events of a customer are a group that is decoded together.
"""

import numpy as np
import pyarrow as pa

from data.dataset import Dataset
from data.schema import Role, columns_with_role, is_categorical
from returns.columns import quantity, take_or
from returns.comparisons import levels_as_numbers
from returns.history_keys import HistoryKeys, quantity_values
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
    unlabelled = arrays.day is None and protocol is Protocol.PAPER
    heard = known_labels(dataset, split) & (arrays.returned >= 0) & (not unlabelled)
    names = () if unlabelled else keys.relations
    pair = _pair_of(arrays.customer, arrays.variant)
    lot = np.random.default_rng(0).permutation(len(pair))

    def lists_of(name: str) -> NeighbourLists:
        if arrays.day is not None:
            past = Timeline.of(single[name], arrays.day, targets, heard, label_delay_days)
            return _latest(past, fan_out)
        key = single[name]
        if name == "customer" and split in SELF_INFORMED:
            key = np.where(taken_for_new(key), -1, key)
        return _drawn(key, pair, lot, targets, heard, fan_out)

    relations = dict(zip(names, in_threads(lists_of, names), strict=True))
    quantities = _quantities(dataset, protocol, keys)
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
        group=_groups(dataset, arrays, targets, unlabelled),
    )


def _latest(past: Timeline, fan_out: int) -> NeighbourLists:
    """The latest events of each target's past."""
    lengths = np.minimum(past.count, fan_out)
    events = past.events[ranges(past.end - lengths, lengths)]
    return NeighbourLists(offsets_of(lengths), events.astype(np.int32))


def _drawn(
    key: np.ndarray,
    pair: np.ndarray,
    lot: np.ndarray,
    targets: np.ndarray,
    heard: np.ndarray,
    fan_out: int,
) -> NeighbourLists:
    """A uniform draw of the events that share a target's key, but for those of its own pair.

    Events of a key are put in a random circular order; each target takes those that follow its own
    place in it.

    Args:
        key: Code of each event, int64 `(num_events,)`, -1 unknown.
        pair: Customer-variant pair of each event, int64 `(num_events,)`.
        lot: Random order of all events, a permutation, int64 `(num_events,)`.
        targets: int64 `(num_targets,)`.
        heard: Events that may be neighbours, bool `(num_events,)`.
        fan_out: Most neighbours of a target.
    """
    events = np.flatnonzero(heard & (key >= 0))
    code = key * len(key) + lot
    events = events[np.argsort(code[events])]
    ascending = code[events]
    start = np.searchsorted(ascending, key[targets] * len(key))
    end = np.searchsorted(ascending, (key[targets] + 1) * len(key))
    number = np.where(key[targets] >= 0, end - start, 0)
    place = np.searchsorted(ascending, code[targets]) - start
    lengths = np.minimum(number, fan_out + 1)  # one more: a target may meet itself
    owner = np.repeat(np.arange(len(targets)), lengths)
    step = ranges(np.zeros_like(lengths), lengths)
    position = start[owner] + (place[owner] + step) % np.maximum(number, 1)[owner]
    neighbour = events[position]
    admitted = pair[neighbour] != pair[targets][owner]
    rank = np.cumsum(admitted) - 1
    first = offsets_of(
        np.bincount(owner, weights=admitted, minlength=len(targets)).astype(np.int64)
    )
    admitted &= rank - first[owner] < fan_out
    lengths = np.bincount(owner[admitted], minlength=len(targets))
    return NeighbourLists(offsets_of(lengths), neighbour[admitted].astype(np.int32))


def _quantities(dataset: Dataset, protocol: Protocol, keys: HistoryKeys) -> dict[str, np.ndarray]:
    """Quantities of the order line and of its variant, float64 `(num_events,)` each."""
    found = dict(quantity_values(dataset)) | levels_as_numbers(dataset, keys.numbered)
    rows = dataset.events["variant_row"]
    variants = dataset.variants
    for name in columns_with_role(variants.schema, [Role.CATALOGUE]):
        field = variants.schema.field(name)
        if not is_categorical(field) and not pa.types.is_date32(field.type):
            found[name] = take_or(quantity(variants[name]), rows, np.nan)
    return found


def _groups(
    dataset: Dataset, arrays: EventArrays, targets: np.ndarray, unlabelled: bool
) -> np.ndarray | None:
    if "basket" in dataset.events.column_names:
        return np.asarray(dataset.events["basket"].to_numpy()[targets], dtype=np.int64)
    return arrays.customer[targets] if unlabelled else None


def _pair_of(customer: np.ndarray, variant: np.ndarray) -> np.ndarray:
    return np.asarray(customer * (int(variant.max(initial=0)) + 1) + variant)
