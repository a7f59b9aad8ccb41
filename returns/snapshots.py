"""Who may send messages to whom: the events of a split, cut by date or by fold.

A snapshot pairs target events with the message events they may hear. Under `strict` the messages
are labelled events strictly before the targets (dated data), of other folds or of earlier splits
(undated data). Under `paper` they are the unlabelled events of the targets' own half of the
release, as published.
"""

from dataclasses import dataclass

import numpy as np

from data.dataset import Dataset
from returns.knowledge import SELF_INFORMED, EventArrays, fold_of, known_labels
from returns.protocol import Protocol


@dataclass(frozen=True)
class Snapshot:
    """Targets and the events whose messages may reach them.

    Attributes:
        targets: Events to score, int64 `(num_targets,)`.
        messages: Events that send messages, int64 `(num_messages,)`.
        labelled: Whether the messages carry their labels.
        day: First day of the targets, in days since 1970-01-01; 0 if undated.
    """

    targets: np.ndarray
    messages: np.ndarray
    labelled: bool
    day: int


def snapshots(
    dataset: Dataset,
    protocol: Protocol,
    split: str,
    targets: np.ndarray,
    label_delay_days: int = 0,
) -> list[Snapshot]:
    """Cut events of a split into snapshots; each is a target of exactly one.

    Args:
        dataset: All events.
        protocol: Strict or paper.
        split: One of `returns.knowledge.PARTS`.
        targets: Events of that split to score, int64 `(num_targets,)`, ascending.
        label_delay_days: Days after the order until its label is known (dated data).
    """
    events = EventArrays.of(dataset)
    if events.day is None and protocol is Protocol.PAPER:
        half = ("test",) if split == "test" else ("train", "validation")
        messages = np.flatnonzero(dataset.split_mask(*half))
        return [Snapshot(targets, messages, labelled=False, day=0)]
    known = known_labels(dataset, split)
    if events.day is not None:
        return _by_month(targets, known, events.day, label_delay_days, split)
    if split not in SELF_INFORMED:
        return [Snapshot(targets, np.flatnonzero(known), labelled=True, day=0)]
    fold = fold_of(events.customer, events.variant)
    return [
        Snapshot(
            targets[fold[targets] == number],
            np.flatnonzero(known & (fold != number)),
            labelled=True,
            day=0,
        )
        for number in np.unique(fold[targets])
    ]


def _by_month(
    targets: np.ndarray, known: np.ndarray, day: np.ndarray, label_delay_days: int, split: str
) -> list[Snapshot]:
    """One snapshot a calendar month in training; the whole split at once in scoring.

    A training target is then as far from its messages as a scored one: up to a month.
    """
    if not len(targets):
        return [Snapshot(targets, targets, labelled=True, day=0)]
    block = day[targets].astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    if split not in SELF_INFORMED:
        block = np.zeros(len(targets), dtype=np.int64)
    cut = []
    for number in np.unique(block):
        chosen = targets[block == number]
        first_day = int(day[chosen].min())
        messages = np.flatnonzero(known & (day + label_delay_days < first_day))
        cut.append(Snapshot(chosen, messages, labelled=True, day=first_day))
    return cut
