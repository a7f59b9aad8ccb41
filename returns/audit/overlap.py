"""What train and test share, and rows that repeat or contradict each other."""

from collections.abc import Iterator

import numpy as np

from returns.audit.findings import Check, Finding, Severity
from returns.audit.subject import Subject


def describe_overlap(subject: Subject) -> Iterator[Finding]:
    """Customers, variants and pairs of the test events that training events know."""
    train, test = subject.train.events, subject.test.events
    known_customer = np.isin(test.customer, train.customer)
    known_variant = np.isin(test.variant, train.variant)
    known_pair = np.isin(_pair(test.customer, test.variant), _pair(train.customer, train.variant))
    yield Finding(
        Check.OVERLAP,
        ("customer", "variant"),
        Severity.NOTE,
        {
            "test customers in train": _share_of_distinct(test.customer, train.customer),
            "test variants in train": _share_of_distinct(test.variant, train.variant),
            "test events, known customer": float(known_customer.mean()),
            "test events, known variant": float(known_variant.mean()),
            "test events, both known": float((known_customer & known_variant).mean()),
            "test events, neither known": float((~known_customer & ~known_variant).mean()),
            "test events, known pair": float(known_pair.mean()),
        },
        "train and test share customers and variants; the figures say how many, and how many test "
        "events are cold starts",
        "Read the slices of known and of new customers apart",
    )


def describe_repeated_rows(subject: Subject) -> Iterator[Finding]:
    """Rows of the same customer, variant and day: with equal labels, and with conflicting ones."""
    arrays = subject.arrays
    labelled = np.flatnonzero(arrays.returned >= 0)
    split = np.asarray(subject.dataset.events["split"].to_numpy(zero_copy_only=False))[labelled]
    pair = _pair(arrays.customer, arrays.variant)[labelled]
    columns = [pair, np.unique(split, return_inverse=True)[1]]
    if arrays.day is not None:
        columns.append(arrays.day[labelled])
    _, group = np.unique(np.stack(columns), axis=1, return_inverse=True)
    rows = np.bincount(group)
    returned = np.bincount(group, arrays.returned[labelled])
    conflicting = (returned > 0) & (returned < rows)
    of_one_label = np.maximum(returned - 1, 0) + np.maximum(rows - returned - 1, 0)
    yield Finding(
        Check.REPEATED_ROWS,
        ("customer", "variant"),
        Severity.NOTE,
        {
            "rows that repeat another": int(of_one_label.sum()),
            "share of rows": float(of_one_label.sum() / max(len(labelled), 1)),
            "pairs with conflicting labels": int(conflicting.sum()),
        },
        "rows agree on customer, variant and day; a second piece looks like a row copied by "
        "mistake, and is kept",
        "Remove rows that were copied by mistake before they come here",
    )


def _pair(customer: np.ndarray, variant: np.ndarray) -> np.ndarray:
    # Contiguous indices: the product of two stays far below 2**63.
    pair: np.ndarray = customer * np.int64(1 << 31) + variant
    return pair


def _share_of_distinct(values: np.ndarray, known: np.ndarray) -> float:
    distinct = np.unique(values)
    return float(np.isin(distinct, known).mean()) if len(distinct) else float("nan")
