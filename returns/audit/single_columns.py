"""How well each column alone tells the label."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from data.schema import is_categorical
from returns.audit.clustered import ClusteredEstimate, clustered_auc
from returns.audit.findings import Check, ColumnAuc, ColumnKind, Finding, Severity
from returns.audit.subject import LabelledEvents, Subject, numbers
from returns.columns import level_codes
from returns.knowledge import NUM_FOLDS, fold_of

LARGEST_HONEST_AUC = 0.70
"""No column known at the order comes near it: .64 is the most on real fashion orders, .67 that of
whole models. Own-label aggregates reach .80."""

LARGEST_HONEST_FALL = 0.05
"""Most that an honest column's AUC falls from train to test by a change of season."""

PRIOR_RATE, PRIOR_STRENGTH = 0.5, 5.0
"""Return rate of a level without events, and how many events it weighs as much as."""


def column_aucs(subject: Subject) -> list[ColumnAuc]:
    """The area under the ROC curve of every column that models may see.

    Numbers are taken in the direction that training favours. Levels are ranked by their return rate
    among training events of other customers. Unknown values are left out; `returns.audit.missing`
    looks at them.
    """
    train, test = subject.train, subject.test
    found = []
    for field in train.columns.schema:
        in_train, in_test = train.columns[field.name], test.columns[field.name]
        if is_categorical(field):
            kind = ColumnKind.LEVEL
            areas = _areas_of_levels(train.events, test.events, in_train, in_test)
        else:
            kind = ColumnKind.NUMBER
            values = numbers(in_train), numbers(in_test)
            areas = _areas_of_numbers(train.events, test.events, *values)
        found.append(ColumnAuc(field.name, kind, *areas))
    for name, derived in train.derived.items():
        areas = _areas_of_numbers(train.events, test.events, derived, test.derived[name])
        found.append(ColumnAuc(name, ColumnKind.DERIVED, *areas))
    return found


def find_telling_columns(columns: Iterable[ColumnAuc]) -> Iterator[Finding]:
    """Columns of the source that tell the label better than honest ones can.

    Columns that this project computes are judged by `returns.audit.future`, which is exact: a shop
    with long histories may honestly have telling ones. Levels may fall from train to test because
    the test has others, such as new articles.
    """
    for column in columns:
        if column.kind is ColumnKind.DERIVED:
            continue
        if column.train.low > LARGEST_HONEST_AUC or column.test.low > LARGEST_HONEST_AUC:
            yield _finding(
                Check.SINGLE_COLUMN,
                column,
                "alone it tells returned from kept better than what is known at the order does",
                "Find out when its value is known; declare it `after` or `aggregate` unless that "
                "is before the order",
            )
        fall = column.train - column.test
        if column.kind is ColumnKind.NUMBER and fall.low > LARGEST_HONEST_FALL:
            yield _finding(
                Check.TRAIN_ONLY,
                column,
                "it tells the label in training and much less in the test, as if training labels "
                "had gone into it",
                "Leave it out, or compute it from orders before each order's own day",
            )


def _finding(check: Check, column: ColumnAuc, explanation: str, remedy: str) -> Finding:
    figures = {
        "AUC train": column.train.value,
        "AUC test": column.test.value,
        "standard error": column.train.error,
    }
    return Finding(check, (column.name,), Severity.LEAK, figures, explanation, remedy)


Areas = tuple[ClusteredEstimate, ClusteredEstimate]


def _areas_of_numbers(
    train: LabelledEvents, test: LabelledEvents, in_train: np.ndarray, in_test: np.ndarray
) -> Areas:
    area = _area(train, in_train)
    if area.value < 0.5:
        return ClusteredEstimate(1 - area.value, area.error), _area(test, -in_test)
    return area, _area(test, in_test)


def _areas_of_levels(
    train: LabelledEvents,
    test: LabelledEvents,
    in_train: pa.ChunkedArray,
    in_test: pa.ChunkedArray,
) -> Areas:
    code = level_codes(pa.chunked_array([*in_train.chunks, *in_test.chunks], in_train.type))
    train_code, test_code = code[: len(train)], code[len(train) :]
    labels_of, returns_of = _sums_by_level_and_fold(train, train_code, int(code.max(initial=0)) + 1)
    own_fold = _fold_of_customers(train)
    in_other_folds = (
        sums.sum(axis=1)[train_code] - sums[train_code, own_fold]
        for sums in (labels_of, returns_of)
    )
    in_all_folds = (sums.sum(axis=1)[test_code] for sums in (labels_of, returns_of))
    return (
        _area(train, np.where(train_code >= 0, _rate(*in_other_folds), np.nan)),
        _area(test, np.where(test_code >= 0, _rate(*in_all_folds), np.nan)),
    )


def _sums_by_level_and_fold(
    events: LabelledEvents, code: np.ndarray, num_levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of labels, and of returns, float64 `(num_levels, NUM_FOLDS)`."""
    known = code >= 0
    cell = (code * NUM_FOLDS + _fold_of_customers(events))[known]
    labels, returns = (
        np.bincount(cell, each[known], minlength=num_levels * NUM_FOLDS).reshape(-1, NUM_FOLDS)
        for each in (events.weights, events.weights * events.labels)
    )
    return labels, returns


def _rate(labels: np.ndarray, returns: np.ndarray) -> np.ndarray:
    rate: np.ndarray = (returns + PRIOR_RATE * PRIOR_STRENGTH) / (labels + PRIOR_STRENGTH)
    # Equal rates must tie; sums of weights differ in their last digits.
    return rate.round(9)


def _fold_of_customers(events: LabelledEvents) -> np.ndarray:
    return fold_of(events.customer, np.zeros_like(events.customer))


def _area(events: LabelledEvents, scores: np.ndarray) -> ClusteredEstimate:
    known = ~np.isnan(scores)
    chosen = events.select(known)
    return clustered_auc(scores[known], chosen.labels, chosen.weights, chosen.clusters)
