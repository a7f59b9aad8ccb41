"""The remembered events that a request's order lines may hear."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from data.dataset import Dataset
from returns.drawing import Circles, pairs_of, places_of_keys, random_lots
from returns.history_keys import HistoryKeys, num_codes
from returns.knowledge import EventArrays
from returns.neighbour_search import groups_of, labels_travel, latest, told_quantities
from returns.neighbourhood import Neighbourhood, NeighbourLists
from returns.protocol import Protocol
from returns.resident.request import RequestPart
from returns.timeline import KeyOrder

SHARE_FOR_MARKS = 16
"""Marking all events takes less time than sorting from one in so many heard on."""

Sorted = tuple[np.ndarray, KeyOrder]
"""Events sorted by key, then day, int32 `(num_events,)`, and their order."""


@dataclass(frozen=True)
class RememberedEvents:
    """Remembered events, sorted by each relation.

    Attributes:
        dated: The labelled ones by relation, where the events have dates.
        undated: By relation, where they have none and labels travel.
        num_variants: A number above all variants.
        label: 1 returned, -1 kept, 0 unknown, or if labels do not travel; int8 `(num_events,)`.
        day: int64 `(num_events,)`; None if undated.
        codes: As in `Neighbourhood`.
        quantities: As in `Neighbourhood`.
    """

    dated: Mapping[str, Sorted]
    undated: Mapping[str, Circles]
    num_variants: int
    label: np.ndarray
    day: np.ndarray | None
    codes: np.ndarray
    quantities: np.ndarray

    @classmethod
    def of(
        cls, past: Dataset, protocol: Protocol, keys: HistoryKeys, single: dict[str, np.ndarray]
    ) -> Self:
        """Sort the events.

        Args:
            past: Remembered events, and node rows.
            protocol: Which columns are seen, and whether labels travel.
            keys: Relations of the source.
            single: The events' codes by single key.
        """
        arrays = EventArrays.of(past)
        travels = labels_travel(past, protocol)
        num_variants = num_codes(arrays.variant)
        labelled = arrays.returned >= 0
        dated, undated = {}, {}
        if arrays.day is not None:
            for name in keys.relations:
                events, order = KeyOrder.sort(single[name], arrays.day, labelled)
                dated[name] = (events.astype(np.int32), order)
        elif travels:
            everything = np.ones(len(arrays.returned), dtype=bool)
            lots, size = random_lots(everything)
            pair = pairs_of(arrays.customer, arrays.variant, num_variants)
            for name in keys.relations:
                undated[name] = Circles.of(single[name], lots, size, everything, pair)
        label = np.where(labelled & travels, 2 * arrays.returned - 1, 0)
        return cls(
            dated=dated,
            undated=undated,
            num_variants=num_variants,
            label=label.astype(np.int8),
            day=arrays.day,
            codes=_columns(single, len(arrays.returned), np.int32),
            quantities=_columns(told_quantities(past, keys), len(arrays.returned), np.float32),
        )

    def heard_by(self, part: RequestPart, fan_out: int, label_delay_days: int) -> Neighbourhood:
        """The neighbours of some of a request's order lines, and no other remembered event.

        Args:
            part: The order lines.
            fan_out: Most neighbours of a line by one relation.
            label_delay_days: Days after the order until its label is known.
        """
        lines = np.arange(len(part.rows))
        day = part.day
        if day is not None:
            until = np.minimum(part.request.first_day, day - label_delay_days)
            lists = self._latest(part.known, until, fan_out)
        else:
            lists = self._drawn(part, fan_out)
        heard_at_all, places = _places([each.events for each in lists.values()], len(self.label))
        days = None
        if self.day is not None and day is not None:
            days = np.append(self.day[heard_at_all], day)
        codes = _columns(part.distinct, len(lines), np.int32)
        quantities = _columns(part.quantities, len(lines), np.float32)
        return Neighbourhood(
            targets=len(heard_at_all) + lines,
            relations={
                name: NeighbourLists(each.offsets, events)
                for (name, each), events in zip(lists.items(), places, strict=True)
            },
            label=np.append(self.label[heard_at_all], np.zeros(len(lines), np.int8)),
            day=days,
            codes=np.concatenate([self.codes[heard_at_all], codes]),
            keys=tuple(part.own),
            quantities=np.concatenate([self.quantities[heard_at_all], quantities]),
            quantity_names=tuple(part.quantities),
            group=self.groups(part.lines),
        )

    def groups(self, lines: Dataset) -> np.ndarray | None:
        """Order lines that are decided together, numbered by first appearance.

        Args:
            lines: Order lines and their node rows.

        Returns:
            As in `Neighbourhood`.
        """
        labels_do_not_travel = self.day is None and not self.undated
        everything = np.arange(lines.events.num_rows)
        return groups_of(lines, "test", everything, by_customer=labels_do_not_travel)

    def _latest(
        self, known: Mapping[str, np.ndarray], until: np.ndarray, fan_out: int
    ) -> dict[str, NeighbourLists]:
        return {
            name: latest(events, *order.before(known[name], until), fan_out)
            for name, (events, order) in self.dated.items()
        }

    def _drawn(self, part: RequestPart, fan_out: int) -> dict[str, NeighbourLists]:
        events, known = part.lines.events, part.known
        pair = pairs_of(known["customer"], known["variant"], self.num_variants)
        lists = {}
        for name, circles in self.undated.items():
            place = places_of_keys(events["customer_key"], events["variant_key"], circles.size)
            lists[name] = circles.draw(known[name], place, pair, fan_out)
        return lists


def _places(heard: Sequence[np.ndarray], num_events: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The distinct events among several lists, ascending, and where those of the lists stand."""
    total = sum(map(len, heard))
    if total * SHARE_FOR_MARKS < num_events:
        distinct, place = np.unique(
            np.concatenate([np.empty(0, np.int32), *heard]), return_inverse=True
        )
        ends = np.cumsum([len(events) for events in heard])[:-1]
        return distinct, np.split(place.astype(np.int32), ends) if heard else []
    is_heard = np.zeros(num_events, dtype=bool)
    for events in heard:
        is_heard[events] = True
    place_of_event = np.cumsum(is_heard, dtype=np.int32) - 1
    return np.flatnonzero(is_heard), [place_of_event.take(events) for events in heard]


def _columns(columns: Mapping[str, np.ndarray], num_rows: int, dtype: type) -> np.ndarray:
    """Columns beside each other, `(num_rows, num_columns)`."""
    matrix: np.ndarray = np.empty((num_rows, len(columns)), dtype=dtype)
    for number, column in enumerate(columns.values()):
        matrix[:, number] = column
    return matrix
