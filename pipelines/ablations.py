"""What `ablate` takes out of the graph network, and which other models it sets beside it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from returns.ablation import TakenOut, matching_columns
from returns.event_set import EventSet
from returns.history_keys import HistoryKeys
from returns.models.gnn import GNN
from returns.neighbourhood import Neighbourhood

REFERENCE = "gnn"
"""The case that is the graph network itself."""

HISTORY = "(earlier_orders|earlier_labelled|earlier_return_rate|days_since_last)"
"""Ends of the columns that `returns.history.dated_history` gives to each key."""


@dataclass(frozen=True)
class Case:
    """A model that is trained for the comparison.

    Attributes:
        name: Name on the command line and in the table.
        sentence: What is taken out or changed.
        model: Name of the model.
        hyperparameters: Values that the case fixes; others are given, or the model's defaults.
        taken_out: What the events lack.
    """

    name: str
    sentence: str
    model: str = "gnn"
    hyperparameters: Mapping[str, Any] = field(default_factory=lambda: {"members": 1})
    taken_out: TakenOut = field(default_factory=TakenOut)


ALTERNATIVES = (
    Case("stack", "lightgbm and gnn averaged, gnn with its default networks", "stack", {}),
    Case("lightgbm", "boosted trees instead", "lightgbm", {}),
    Case("xgboost", "boosted trees of another library instead", "xgboost", {}),
    Case("mlp", "the same columns without a graph, one hidden network", "mlp", {}),
    Case("sage", "GraphSAGE over nodes instead", "sage", {}),
    Case("gnn-paper", "the network of the authors of GraphReturns instead", "gnn-paper", {}),
)
"""Other models on the same columns and events."""


def applicable_cases(
    train: EventSet, keys: HistoryKeys, hyperparameters: Mapping[str, Any]
) -> list[Case]:
    """The cases that take something out of a source's events, the reference first.

    Args:
        train: Training events of the source.
        keys: Keys of its history.
        hyperparameters: Given for `gnn`; the fan-out is halved and doubled from there.
    """
    heard = train.build_neighbourhood(0)
    fan_out = int(GNN(**hyperparameters).resolved("fan_out", len(train)))
    return [
        Case(REFERENCE, "nothing: the graph network, one of it (`members=1`)"),
        *(_neighbour_cases(heard, fan_out) if heard.relations else ()),
        *_group_cases(heard),
        *_column_cases(train, keys),
        Case("average-of-5", "five networks averaged", hyperparameters={"members": 5}),
        *ALTERNATIVES,
    ]


def _neighbour_cases(heard: Neighbourhood, fan_out: int) -> Iterator[Case]:
    fan_outs = {"no-neighbours": 0, "half-fan-out": fan_out // 2, "double-fan-out": 2 * fan_out}
    for name, number in fan_outs.items():
        yield Case(
            name,
            f"{number} neighbours by each relation instead of {fan_out}",
            hyperparameters={"members": 1, "fan_out": number},
        )
    for relation in heard.relations:
        yield Case(
            f"no-{_word(relation)}-neighbours",
            f"neighbours by {relation}; those by other relations still tell if they share it",
            taken_out=TakenOut(relation=relation),
        )
    yield Case(
        "no-neighbour-labels",
        "labels of neighbours; history columns still count them",
        taken_out=TakenOut(neighbour_labels=True),
    )


def _group_cases(heard: Neighbourhood) -> Iterator[Case]:
    if heard.group is not None:
        yield Case(
            "no-group-messages",
            "messages between events that are decoded together",
            taken_out=TakenOut(groups=True),
        )


def _column_cases(train: EventSet, keys: HistoryKeys) -> Iterator[Case]:
    numbered = "|".join(map(re.escape, keys.numbered))
    columns = {
        "recent-history": (r"_last_\d+_return_rate$|_days_since_first$", "recent return rates"),
        "crossed-keys": (rf"(_x_.+|_band)_{HISTORY}$", "history by bands and pairs of keys"),
        "basket": (r"^basket_", "columns of the rest of the basket"),
        "comparisons": (
            rf"_to_mean_of_|^({numbered})_(number|above_kept|above_returned)$",
            "columns that compare price and size with earlier ones; neighbours still do",
        ),
    }
    for name, (pattern, sentence) in columns.items():
        if matching_columns(train.features, pattern):
            yield Case(f"no-{name}", sentence, taken_out=TakenOut(columns=pattern))


def _word(name: str) -> str:
    """A column's name as part of a case's: no spaces or signs."""
    return re.sub(r"[^\w-]+", "_", name)
