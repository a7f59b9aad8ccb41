"""Events with something taken out that a model would otherwise see, to learn what it is worth."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from returns.event_set import EventSet, FeatureMatrix
from returns.neighbourhood import Neighbourhood


@dataclass(frozen=True)
class TakenOut:
    """What is taken out; by default nothing.

    Attributes:
        columns: Regular expression; feature columns in whose name it is found are dropped, for
            every model alike.
        relation: Relation by which no neighbour is heard.
        neighbour_labels: Whether neighbours are heard without their labels.
        groups: Whether each event is decoded alone.
    """

    columns: str | None = None
    relation: str | None = None
    neighbour_labels: bool = False
    groups: bool = False

    def of(self, events: EventSet) -> EventSet:
        """The events without it.

        Args:
            events: Events of any split.

        Raises:
            ValueError: No column matches, or when neighbours are looked for, there is no such
                relation: nothing would be taken out.
        """
        features = events.features
        if self.columns is not None:
            features = without_columns(features, self.columns)
        return replace(
            events,
            features=features,
            build_neighbourhood=self._reduced(events.build_neighbourhood),
        )

    def _reduced(self, build: Callable[[int], Neighbourhood]) -> Callable[[int], Neighbourhood]:
        def build_reduced(fan_out: int) -> Neighbourhood:
            heard = build(fan_out)
            if self.relation is not None:
                heard = without_relation(heard, self.relation)
            if self.neighbour_labels:
                heard = replace(heard, label=np.zeros_like(heard.label))
            return replace(heard, group=None) if self.groups else heard

        return build_reduced


def matching_columns(features: FeatureMatrix, pattern: str) -> frozenset[str]:
    """Names of the columns in which a regular expression is found."""
    names = (*features.numeric_names, *features.categorical_names)
    return frozenset(name for name in names if re.search(pattern, name))


def without_columns(features: FeatureMatrix, pattern: str) -> FeatureMatrix:
    """The columns in whose name a regular expression is not found.

    Raises:
        ValueError: It is found in none.
    """
    dropped = matching_columns(features, pattern)
    if not dropped:
        raise ValueError(f"no feature column matches '{pattern}'")
    numeric = [place for place, name in enumerate(features.numeric_names) if name not in dropped]
    categorical = [
        place for place, name in enumerate(features.categorical_names) if name not in dropped
    ]
    return FeatureMatrix(
        numeric=features.numeric[:, numeric],
        categorical=features.categorical[:, categorical],
        numeric_names=tuple(features.numeric_names[place] for place in numeric),
        categorical_names=tuple(features.categorical_names[place] for place in categorical),
        levels=tuple(features.levels[place] for place in categorical),
    )


def without_relation(neighbourhood: Neighbourhood, relation: str) -> Neighbourhood:
    """The neighbourhood by the other relations.

    Raises:
        ValueError: There is no such relation.
    """
    if relation not in neighbourhood.relations:
        there_are = ", ".join(neighbourhood.relations)
        raise ValueError(f"there is no relation '{relation}'; there are: {there_are}")
    relations = {name: lists for name, lists in neighbourhood.relations.items() if name != relation}
    return replace(neighbourhood, relations=relations)
