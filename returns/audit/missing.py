"""Whether it tells the label that a node row or a value is missing."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from returns.audit.clustered import ClusteredEstimate, rate_difference
from returns.audit.findings import Check, Finding, Severity
from returns.audit.subject import LabelledEvents, Subject
from returns.columns import DAYS_BEFORE_ORDER
from returns.missing_rows import ROW_COLUMN
from returns.protocol import Protocol

LARGEST_ROW_DIFFERENCE = 0.03
"""Most by which the return rates of events with and without a node row may honestly differ."""

LARGEST_VALUE_DIFFERENCE = 0.15
"""The same for a single value. Customers who leave a field empty may differ a little."""

FEWEST_CLUSTERS = 30
"""Fewest customers, and fewest variants, on either side for a difference to be judged."""

SMALLEST_SHARE = 0.005
"""Least share of events on either side: below it a value says too little to matter."""


def find_telling_missing_rows(subject: Subject) -> Iterator[Finding]:
    """Node tables whose missing rows tell the label.

    Where the source says so itself, the weights of training must cancel it. Where it does not, the
    events of train and test together must show nothing.
    """
    train, test = subject.train.events, subject.test.events
    for table, column in ROW_COLUMN.items():
        missing = subject.dataset.events[column].is_null().to_numpy()
        in_train, in_test = missing[train.index], missing[test.index]
        if not in_train.any() or in_train.all():
            continue
        events, in_either = train.followed_by(test), np.append(in_train, in_test)
        unweighted = _unweighted_difference(events, in_either)
        weighted = rate_difference(train.labels, in_train, train.weights, train.clusters)
        figures = {
            "share missing": float(in_either.mean()),
            "rate difference": unweighted.value,
            "standard error": unweighted.error,
            "in train": _unweighted_difference(train, in_train).value,
            "in train, weighted": weighted.value,
            "in test": _unweighted_difference(test, in_test).value,
        }
        finding = Finding(
            Check.MISSING_ROWS,
            (table,),
            Severity.LEAK,
            figures,
            "whether an event has a node row tells the label",
            "Give every key a row, with empty fields where nothing was known at the order",
        )
        if table in subject.dataset.missing_rows_leak:
            is_weighted = bool((train.weights[in_train] != 1).any())
            if not is_weighted or _beyond(weighted, LARGEST_ROW_DIFFERENCE):
                remedy = "Use --protocol strict, whose weights cancel it"
                if subject.protocol is Protocol.STRICT:
                    remedy = "Leave these events out: weights cannot cancel it"
                yield replace(finding, remedy=remedy)
            else:
                remedy = "Nothing to do: the weights of training cancel it"
                yield replace(finding, severity=Severity.NOTE, remedy=remedy)
        elif _is_judged(events, in_either) and _beyond(unweighted, LARGEST_ROW_DIFFERENCE):
            yield finding


def find_telling_missing_values(subject: Subject) -> Iterator[Finding]:
    """Columns whose nulls tell the label, among the events that have the node row at all."""
    for name, table in subject.table_of.items():
        events = subject.train.events
        null = subject.train.columns[name].is_null().to_numpy(zero_copy_only=False)
        if table != "events":
            row = subject.dataset.events[ROW_COLUMN[table]].take(pa.array(events.index))
            has_row = row.is_valid().to_numpy()
            events, null = events.select(has_row), null[has_row]
        if not _is_judged(events, null):
            continue
        difference = rate_difference(events.labels, null, events.weights, events.clusters)
        if _beyond(difference, LARGEST_VALUE_DIFFERENCE):
            yield Finding(
                Check.MISSING_VALUES,
                (name.removesuffix(DAYS_BEFORE_ORDER),),
                Severity.LEAK,
                {
                    "share missing": float(null.mean()),
                    "rate difference": difference.value,
                    "standard error": difference.error,
                },
                "whether the value is there tells the label: it was filled in, or deleted, after "
                "the outcome",
                "Declare the column `after`, unless the same fields were empty at the order",
            )


def _unweighted_difference(events: LabelledEvents, missing: np.ndarray) -> ClusteredEstimate:
    return rate_difference(events.labels, missing, np.ones(len(events)), events.clusters)


def _beyond(difference: ClusteredEstimate, margin: float) -> bool:
    return ClusteredEstimate(abs(difference.value), difference.error).low > margin


def _is_judged(events: LabelledEvents, missing: np.ndarray) -> bool:
    if not SMALLEST_SHARE <= missing.mean() <= 1 - SMALLEST_SHARE:
        return False
    return all(
        len(np.unique(cluster[side])) >= FEWEST_CLUSTERS
        for cluster in events.clusters
        for side in (missing, ~missing)
    )
