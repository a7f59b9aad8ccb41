"""The edges that end in each node as immutable CSR, drawn from for many nodes at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

ALL = -1
"""Fan-out that takes every edge."""

Choice = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""Chooses among the edges of nodes: from the nodes, how many edges each has (more than the number
wanted) and the number wanted, to the ranks of the chosen edges, int64 `(num_nodes, number)`."""


@dataclass(frozen=True)
class Adjacency:
    """The edges of one relation sorted by destination, those of a node earliest first.

    Places and numbers of edges are int32 where that suffices: half the memory to fetch.

    Attributes:
        start: Place of each destination's first edge, and at the end the number of places; int64
            `(num_destinations + 1,)`.
        source: Source of each edge, int32 or int64 `(num_places,)`.
        edge: Number of each edge in the graph, int32 or int64 `(num_places,)`.
        place: Place of each edge of the graph, -1 where it is not kept, int32 or int64
            `(num_edges,)`.
        times: Distinct times of edges, ascending, int64; None if undated.
        moment: `destination * len(times)` plus the rank of the edge's time, ascending, int64
            `(num_places,)`; None if undated.
    """

    start: np.ndarray
    source: np.ndarray
    edge: np.ndarray
    place: np.ndarray
    times: np.ndarray | None
    moment: np.ndarray | None

    @classmethod
    def of(
        cls,
        edge_index: np.ndarray,
        num_destinations: int,
        kept: np.ndarray | None = None,
        time: np.ndarray | None = None,
    ) -> Self:
        """Sort the edges.

        Args:
            edge_index: Source and destination of each edge, int64 `(2, num_edges)`.
            num_destinations: Number of nodes of the destination's type.
            kept: Whether each edge may be drawn, bool `(num_edges,)`; None: all may.
            time: Time of each edge, int64 `(num_edges,)`; None: undated.
        """
        num_edges = edge_index.shape[1]
        edge = np.arange(num_edges) if kept is None else np.flatnonzero(kept)
        source, destination = edge_index[:, edge]
        times = moment = None
        if time is None:
            order = np.lexsort((source, destination))
        else:
            times, rank = np.unique(time[edge], return_inverse=True)
            moment = destination * len(times) + rank
            order = np.argsort(moment, kind="stable")
            moment = moment[order]
        start = np.zeros(num_destinations + 1, dtype=np.int64)
        np.cumsum(np.bincount(destination, minlength=num_destinations), out=start[1:])
        largest = max(num_edges, int(source.max(initial=0)))
        integer = np.int32 if largest <= np.iinfo(np.int32).max else np.int64
        place = np.full(num_edges, -1, dtype=integer)
        place[edge[order]] = np.arange(len(order))
        return cls(
            start, source[order].astype(integer), edge[order].astype(integer), place, times, moment
        )

    def end_before(self, nodes: np.ndarray, times: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """Place after the last edge of each node that is strictly earlier than the node's time.

        Args:
            nodes: Destinations, int64 `(num_nodes,)`.
            times: Some distinct times, int64 `(num_times,)`.
            rank: Which of these is each node's, int64 `(num_nodes,)`.
        """
        end: np.ndarray = self.start.take(nodes + 1)
        if self.times is not None and self.moment is not None:
            earlier = np.searchsorted(self.times, times).take(rank)
            moment = nodes * len(self.times) + earlier
            end = _first_not_below(self.moment, self.start.take(nodes), end, moment)
        return end

    def draw(
        self,
        nodes: np.ndarray,
        end: np.ndarray,
        fan_out: int,
        choose: Choice,
        hidden: "HiddenEdges | None" = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw edges of each node: all it has, or `fan_out` of them where it has more.

        Args:
            nodes: Destinations, int64 `(num_nodes,)`.
            end: Place after the last admissible edge of each, int64 `(num_nodes,)`.
            fan_out: Most edges of a node, or `ALL`.
            choose: Chooses among the edges of a node that has more.
            hidden: Edges not to draw; None: there are none.

        Returns:
            Which of `nodes` each edge drawn ends in, ascending, and the edge's place; int64.
        """
        start = self.start[nodes]
        number = end - start
        crowded = np.flatnonzero(number > fan_out) if fan_out != ALL else np.empty(0, np.int64)
        first_visible, end_visible = start[crowded], end[crowded]
        if hidden is not None:
            first_visible = hidden.visible_before(first_visible)
            end_visible = hidden.visible_before(end_visible)
            # The others' visible edges are few enough to take them all.
            still = end_visible - first_visible > fan_out
            crowded, first_visible, end_visible = (
                rows[still] for rows in (crowded, first_visible, end_visible)
            )
        number[crowded] = fan_out
        owner, place = _ranges(start, number)
        if len(crowded):
            chosen = choose(nodes[crowded], end_visible - first_visible, fan_out)
            chosen += first_visible[:, None]
            if hidden is not None:
                chosen = hidden.place_of_visible(chosen)
            first_slot = np.cumsum(number)[crowded] - fan_out
            place[first_slot[:, None] + np.arange(fan_out)] = chosen
        if hidden is None:
            return owner, place
        shown = ~hidden.mask[place]
        return owner[shown], place[shown]

    def edges_between(self, source: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """Numbers of all edges that join any of some pairs, each edge once.

        Args:
            source: Source of each pair, int64 `(num_pairs,)`.
            destination: Destination of each pair, int64 `(num_pairs,)`.
        """
        if not len(source) or not len(self.source):
            return np.empty(0, dtype=np.int64)
        num_sources = 1 + max(int(source.max()), int(self.source.max()))
        pairs = np.sort(destination * num_sources + source)
        nodes = pairs // num_sources
        nodes = nodes[np.append(True, nodes[1:] != nodes[:-1])]
        owner, place = _ranges(self.start[nodes], self.start[nodes + 1] - self.start[nodes])
        candidates = nodes[owner] * num_sources + self.source[place]
        nearest = pairs[np.searchsorted(pairs, candidates).clip(max=len(pairs) - 1)]
        edges: np.ndarray = self.edge[place[nearest == candidates]]
        return edges


@dataclass(frozen=True)
class HiddenEdges:
    """Edges of an adjacency that must not be drawn, and the ranks of the visible ones.

    Attributes:
        places: Places of the hidden edges, ascending, `(num_hidden,)`.
        mask: Whether each place is hidden, bool `(num_places,)`.
    """

    places: np.ndarray
    mask: np.ndarray

    @classmethod
    def of(cls, adjacency: Adjacency, edges: np.ndarray) -> Self:
        """Hide edges.

        Args:
            adjacency: Where they are hidden.
            edges: Their numbers in the graph, distinct, all of them kept; `(num_hidden,)`.
        """
        places = np.sort(adjacency.place[edges])
        mask = np.zeros(len(adjacency.source), dtype=bool)
        mask[places] = True
        return cls(places, mask)

    def visible_before(self, place: np.ndarray) -> np.ndarray:
        """Number of visible edges in lower places than each one given; int64."""
        return place - np.searchsorted(self.places, place)

    def place_of_visible(self, rank: np.ndarray) -> np.ndarray:
        """Place of the visible edge that has so many visible ones before it; int64."""
        visible_before_hidden = self.places - np.arange(len(self.places))
        return rank + np.searchsorted(visible_before_hidden, rank, side="right")


def _first_not_below(
    ascending: np.ndarray, low: np.ndarray, high: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """First place in `low[i] .. high[i] - 1` whose value is not below `wanted[i]`, else `high[i]`.

    Binary searches within the places of each node: most nodes have a few, and take a few steps
    where one through all places takes twenty.
    """
    found = low.copy()
    searching = np.arange(len(low))
    while len(searching):
        unfinished = np.flatnonzero(low < high)
        searching, low, high, wanted = (
            part.take(unfinished) for part in (searching, low, high, wanted)
        )
        middle = (low + high) >> 1
        is_below = ascending.take(middle) < wanted
        low, high = np.where(is_below, middle + 1, low), np.where(is_below, high, middle)
        found[searching] = low
    return found


def _ranges(start: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and place of `number[i]` places from `start[i]` on, for all rows; int64."""
    row = np.repeat(np.arange(len(number)), number)
    return row, np.arange(len(row)) + (start - np.cumsum(number) + number)[row]
