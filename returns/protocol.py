"""What a model may see: the strict protocol, and the paper's."""

from enum import StrEnum

from data.schema import Role

KNOWN_AT_THE_ORDER = frozenset({Role.PROFILE, Role.CATALOGUE, Role.ORDER, Role.ATTRIBUTE})
"""Roles of the columns whose values are known when the order is placed."""


class Protocol(StrEnum):
    """Which columns become features and which labels travel through the graph."""

    STRICT = "strict"
    """Only what was known when the order was placed."""
    PAPER = "paper"
    """All columns of the release, aggregates of outcomes included: leaks, as published."""

    @property
    def feature_roles(self) -> frozenset[Role]:
        """Roles of the columns that may become features."""
        if self is Protocol.PAPER:
            return KNOWN_AT_THE_ORDER | {Role.AGGREGATE}
        return KNOWN_AT_THE_ORDER
