"""The order lines of a request among themselves: those of earlier days come before the others."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from returns.history_keys import num_codes, quantity_values
from returns.knowledge import EventArrays
from returns.resident.request import Request
from returns.resident.sums import KeySums
from returns.timeline import KeyOrder


@dataclass(frozen=True)
class OwnOrders:
    """All order lines of a dated request, ready to be asked up to any day.

    Kept while parts of the request are described: 8 bytes a line for each key, pairs of keys among
    them, and 16 for each party and numeric order column.

    Attributes:
        orders: By key.
        quantities: Sums of each numeric order column by party and column.
        sizes: Number of codes of each single key and band.
    """

    orders: dict[str, KeyOrder]
    quantities: dict[tuple[str, str], KeySums]
    sizes: dict[str, int]

    @classmethod
    def of(cls, request: Request) -> Self:
        """Sort and sum up.

        Args:
            request: The order lines.
        """
        keys, day = request.keys, np.asarray(EventArrays.of(request.lines).day)
        quantities = quantity_values(request.lines)
        parts = {**request.own, **keys.bands(quantities)}
        sizes = {name: num_codes(code) for name, code in parts.items()}
        orders = {
            name: KeyOrder.of(code.astype(np.int64), day) for name, code in request.own.items()
        }
        # One key at a time: all their codes together take as much as what is kept.
        for name, code in keys.each_pair(parts, sizes):
            orders[name] = KeyOrder.of(code, day)
        sums = {
            (party, name): KeySums.of(
                request.own[party].astype(np.int64), day, values, ~np.isnan(values)
            )
            for party in keys.parties
            for name, values in quantities.items()
        }
        return cls(orders, sums, sizes)
