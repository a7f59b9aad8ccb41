"""A request's order lines in the forms that models ask for, some of them at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch_geometric.data import HeteroData

from returns.baskets import baskets_of
from returns.event_set import EventSet, FeatureMatrix
from returns.knowledge import EventArrays
from returns.neighbourhood import Neighbourhood
from returns.past import Features, dated_features
from returns.preparation import Preparation
from returns.protocol import Protocol
from returns.resident.dated import DatedMemory
from returns.resident.neighbours import RememberedEvents
from returns.resident.own_orders import OwnOrders
from returns.resident.past import RequestPast
from returns.resident.portions import Groups, Portion
from returns.resident.request import Request, RequestPart
from returns.resident.undated import UndatedMemory


@dataclass(frozen=True)
class RequestEvents:
    """A request, and what is remembered of the past of its lines.

    What a line hears of the request's other lines does not depend on the portions.

    Attributes:
        request: The order lines.
        preparation: Encoders of the predictor.
        history: What the past may be asked for.
        remembered: The past events that may be heard.
        build_graphs: Builds the graphs that score all lines together.
    """

    request: Request
    preparation: Preparation
    history: DatedMemory | UndatedMemory
    remembered: RememberedEvents
    build_graphs: Callable[[], Sequence[HeteroData]]

    @cached_property
    def groups(self) -> Groups | None:
        """Lines that are decided together; None if each is alone."""
        group = self.remembered.groups(self.request.lines)
        return None if group is None else Groups.of(group)

    def all_lines(self) -> EventSet:
        """All lines."""
        part = self.request.all_lines()
        return self._event_set(part, self._features(part), 0)

    def event_set(self, portion: Portion) -> EventSet:
        """The lines of a portion.

        Args:
            portion: One of `returns.resident.portions.portions` of these groups.
        """
        part = self.request.part(portion.rows)
        companions = self._companions(portion.rows)
        if len(companions) == len(portion.rows):
            features = self._features(part)
        else:
            features = self._features(self.request.part(companions))
            features = features.part(np.searchsorted(companions, portion.rows))
        return self._event_set(part, features, portion.preceding)

    def _companions(self, rows: np.ndarray) -> np.ndarray:
        """The lines of the baskets of some lines: a basket describes each of its lines."""
        if self.groups is None or "basket" not in self.request.lines.events.column_names:
            return rows
        return self.groups.companions(rows)

    def _event_set(self, part: RequestPart, features: FeatureMatrix, preceding: int) -> EventSet:
        labels = EventArrays.of(part.lines).returned

        def heard(fan_out: int) -> Neighbourhood:
            delay = self.preparation.label_delay_days
            return replace(self.remembered.heard_by(part, fan_out, delay), preceding=preceding)

        return EventSet(
            features=features,
            labels=labels,
            weights=self.preparation.weights.transform(part.lines, np.arange(len(labels)), labels),
            build_graphs=self.build_graphs,
            build_neighbourhood=heard,
        )

    def _features(self, part: RequestPart) -> FeatureMatrix:
        lines = np.arange(len(part.rows))
        return self.preparation.features(part.lines, lines, self._told(part))

    def _told(self, part: RequestPart) -> Features:
        if isinstance(self.history, DatedMemory):
            delay = self.preparation.label_delay_days
            past = RequestPast(self.history, part, self._own_orders, delay)
            basket = baskets_of(part.lines, np.arange(len(part.rows)))
            return dated_features(past, self.preparation.keys, basket)
        if self.preparation.protocol is Protocol.PAPER:
            return {}
        return self.history.history(part.known)

    @cached_property
    def _own_orders(self) -> OwnOrders | None:
        return OwnOrders.of(self.request) if self.request.has_several_days else None
