"""By which keys an order's past is looked up: customer, variant, attributes, and their pairs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.dataset import Dataset
from data.schema import Role, columns_with_role
from returns.columns import attribute_codes, attribute_columns, quantity, quantity_names
from returns.comparisons import share_of_numbers
from returns.computed_names import ALL, dated_names, refuse_clashes, undated_names
from returns.features import MOST_LEVELS
from returns.knowledge import EventArrays
from returns.protocol import Protocol

BANDS = 10
"""Bands that a numeric order column, such as the price, is cut into; about as many events each."""

MOST_PAIRS = 8
"""Pairs of a variant's attributes that become keys."""

FEWEST_NUMBERS = 0.2
"""Share of numbers among the levels of an attribute, such as the size, that are read as such."""


@dataclass(frozen=True)
class HistoryKeys:
    """The keys of a source; chosen on the training events, so that every split has the same.

    Attributes:
        variant_attributes: Attributes of the variant (item, size, brand, ...).
        quantities: Numeric order columns.
        band_edges: Inner edges of the bands of each quantity, ascending.
        pairs: Pairs of variant attributes, none of which tells the other.
        numbered: Text attributes of the variant with enough numbers among their levels.
        relations: Keys whose events are heard one by one: customer, variant, and attributes of so
            many levels that few events share one.
    """

    variant_attributes: tuple[str, ...]
    quantities: tuple[str, ...]
    band_edges: Mapping[str, tuple[float, ...]]
    pairs: tuple[tuple[str, str], ...]
    numbered: tuple[str, ...]
    relations: tuple[str, ...]

    @classmethod
    def fit(cls, dataset: Dataset, protocol: Protocol, train: np.ndarray) -> Self:
        """Choose the keys.

        Args:
            dataset: All events and node rows.
            protocol: Which columns are admitted.
            train: Training events, int64 `(num_train,)`.

        Raises:
            InputError: A column has the name of something that is computed.
        """
        codes = {name: code[train] for name, code in attribute_codes(dataset, protocol).items()}
        schema = dataset.variants.schema
        of_variant = tuple(name for name in columns_with_role(schema, [Role.ATTRIBUTE]))
        pairs = [
            pair for pair in combinations(of_variant, 2) if _is_crossed(*(codes[n] for n in pair))
        ]
        rows = np.unique(dataset.events["variant_row"].take(pa.array(train)).drop_null().to_numpy())
        texts = [name for name in of_variant if pa.types.is_string(schema.field(name).type)]
        quantities = quantity_values(dataset)
        keys = cls(
            variant_attributes=of_variant,
            quantities=tuple(quantities),
            band_edges={name: _edges(values[train]) for name, values in quantities.items()},
            pairs=tuple(pairs[:MOST_PAIRS]),
            numbered=tuple(
                name
                for name in texts
                if share_of_numbers(dataset.variants[name].take(pa.array(rows))) >= FEWEST_NUMBERS
            ),
            relations=(
                "customer",
                "variant",
                *(name for name, code in codes.items() if len(np.unique(code)) > MOST_LEVELS),
            ),
        )
        keys._refuse_clashes(dataset, protocol, {"customer", "variant", *codes})
        return keys

    @property
    def parties(self) -> tuple[str, ...]:
        """Those that take part in an order by themselves: customer, variant, its attributes."""
        return ("customer", "variant", *self.variant_attributes)

    def single(self, dataset: Dataset, protocol: Protocol) -> dict[str, np.ndarray]:
        """Customer, variant and attributes.

        Returns:
            Code of each event per key, int64 `(num_events,)`, -1 unknown.
        """
        arrays = EventArrays.of(dataset)
        return {
            "customer": arrays.customer,
            "variant": arrays.variant,
            **attribute_codes(dataset, protocol),
        }

    def levels(self, dataset: Dataset, protocol: Protocol) -> dict[str, pa.Array]:
        """The values that the codes of `single` stand for, in the order of the codes."""
        events = dataset.events
        keys = {
            "customer": (dataset.customers["customer_key"], events["customer_key"]),
            "variant": (dataset.variants["variant_key"], events["variant_key"]),
        }
        found = {
            name: pc.unique(pa.chunked_array([*nodes.chunks, *own.chunks], own.type))
            for name, (nodes, own) in keys.items()
        }
        for name, column, _ in attribute_columns(dataset, protocol):
            found[name] = pc.unique(column).drop_null()
        return found

    def crossed(self, dataset: Dataset, single: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Bands, pairs of variant attributes, and the customer with each of them.

        Args:
            dataset: All events and node rows.
            single: What `single` gave.

        Returns:
            Code of each event per key, named `{one}_x_{other}`, int64 `(num_events,)`, -1 unknown.
        """
        parts = {**single, **self.bands(quantity_values(dataset))}
        return self.pairs_of(parts, {name: num_codes(code) for name, code in parts.items()})

    def bands(self, quantities: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The band that each quantity lies in.

        Args:
            quantities: What `quantity_values` gives.

        Returns:
            Code per `{quantity}_band`, int64 `(num_events,)`, -1 unknown.
        """
        return {
            f"{name}_band": np.where(np.isnan(values), -1, np.searchsorted(edges, values))
            for (name, edges), values in zip(
                self.band_edges.items(), quantities.values(), strict=True
            )
        }

    def pairs_of(
        self, parts: Mapping[str, np.ndarray], sizes: Mapping[str, int]
    ) -> dict[str, np.ndarray]:
        """Bands and pairs of keys.

        Args:
            parts: Codes of single keys and bands, int64 `(num_events,)` each, -1 unknown.
            sizes: A number above all codes of each, the same wherever codes of pairs are compared.

        Returns:
            As `crossed`.
        """
        return dict(self.each_pair(parts, sizes))

    def each_pair(
        self, parts: Mapping[str, np.ndarray], sizes: Mapping[str, int]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Bands and pairs of keys one by one.

        Args:
            parts: As of `pairs_of`, or int32.
            sizes: As of `pairs_of`.

        Yields:
            Name and code of each, as `crossed` has them.
        """
        bands = [f"{name}_band" for name in self.band_edges]
        for name in bands:
            yield name, parts[name]
        others = [*self.variant_attributes, *bands]
        for one, other in [*self.pairs, *(("customer", name) for name in others)]:
            yield f"{one}_x_{other}", _pair(parts[one], parts[other], sizes[other])

    def _refuse_clashes(self, dataset: Dataset, protocol: Protocol, single: set[str]) -> None:
        """Refuse columns named like something that is computed; `single` names the single keys."""
        if not dataset.is_dated:
            refuse_clashes(dataset, protocol, undated_names(dataset, single), set())
            return
        parts = {*self.parties, *(f"{name}_band" for name in self.band_edges)}
        nobody = np.zeros(0, dtype=np.int64)
        crossed = set(self.pairs_of(dict.fromkeys(parts, nobody), dict.fromkeys(parts, 1)))
        features = dated_names(
            dataset, single | crossed, self.parties, self.quantities, self.numbered
        )
        refuse_clashes(dataset, protocol, features, crossed | {ALL})

    def to_json(self) -> dict[str, Any]:
        """The keys as JSON values."""
        return {
            "variant_attributes": list(self.variant_attributes),
            "quantities": list(self.quantities),
            "band_edges": {name: list(edges) for name, edges in self.band_edges.items()},
            "pairs": [list(pair) for pair in self.pairs],
            "numbered": list(self.numbered),
            "relations": list(self.relations),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The keys that `to_json` wrote."""
        return cls(
            variant_attributes=tuple(content["variant_attributes"]),
            quantities=tuple(content["quantities"]),
            band_edges={name: tuple(edges) for name, edges in content["band_edges"].items()},
            pairs=tuple((one, other) for one, other in content["pairs"]),
            numbered=tuple(content["numbered"]),
            relations=tuple(content["relations"]),
        )


def quantity_values(dataset: Dataset) -> dict[str, np.ndarray]:
    """Numeric order columns of every event, float64 `(num_events,)`, NaN unknown."""
    events = dataset.events
    return {name: quantity(events[name]) for name in quantity_names(events.schema)}


def _edges(values: np.ndarray) -> tuple[float, ...]:
    known = values[~np.isnan(values)]
    if not len(known):
        return ()
    return tuple(np.unique(np.quantile(known, np.linspace(0, 1, BANDS + 1)[1:-1])).tolist())


def num_codes(code: np.ndarray) -> int:
    """A number above all codes."""
    return int(code.max(initial=0)) + 1


def _pair(one: np.ndarray, other: np.ndarray, size: int) -> np.ndarray:
    """Code of a pair, -1 where either is unknown; `size` lies above all codes of `other`."""
    code = one.astype(np.int64, copy=False) * size + other
    return np.where((one >= 0) & (other >= 0), code, -1)


def _is_crossed(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether neither level tells the other: their pair is finer than both."""
    pair = _pair(one, other, num_codes(other))
    known = pair >= 0
    distinct = len(np.unique(pair[known]))
    return distinct > max(len(np.unique(part[known])) for part in (one, other))
