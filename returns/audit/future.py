"""Whether anything that models see changes when the future is cut off or turns out otherwise.

The features are built again from datasets in which later events are missing, or in which labels
that must not be known are turned round, and compared bit by bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.dataset import Dataset
from returns.audit.findings import Check, Finding, Severity
from returns.audit.subject import Subject
from returns.event_set import FeatureMatrix
from returns.knowledge import EventArrays, fold_of
from returns.preparation import Preparation

SPLITS = ("train", "test")


@dataclass(frozen=True)
class OtherFuture:
    """A dataset with the same past and another future.

    Attributes:
        what: What is different, in words.
        dataset: The other dataset.
        kept: Events of the original that it has, bool `(num_events,)`.
        unaware: Events of the original that must not notice, bool `(num_events,)`.
    """

    what: str
    dataset: Dataset
    kept: np.ndarray
    unaware: np.ndarray


def find_columns_that_hear_the_future(subject: Subject) -> Iterator[Finding]:
    """Features, read or computed, that depend on later events, later labels or scored labels."""
    dataset, preparation = subject.dataset, subject.preparation
    before = {split: preparation.event_set(dataset, split).features for split in SPLITS}
    for future in _other_futures(dataset, subject.arrays):
        for split in SPLITS:
            events = _events_of(dataset, split)
            kept = np.isin(events, np.flatnonzero(future.kept)[_events_of(future.dataset, split)])
            unaware = future.unaware[events[kept]]
            after = preparation.event_set(future.dataset, split).features
            changed = _changed_shares(before[split], after, kept, unaware)
            if changed:
                yield Finding(
                    Check.FUTURE,
                    tuple(changed),
                    Severity.LEAK,
                    {"largest share of events changed": max(changed.values())},
                    f"features of {split} events change when {future.what}",
                    "Compute them from labels of earlier orders alone",
                )
    yield from _find_fits_that_hear_the_test(subject)


def _find_fits_that_hear_the_test(subject: Subject) -> Iterator[Finding]:
    other = _turned_round(subject.dataset, subject.dataset.split_mask("test"))
    fitted = subject.preparation
    again = Preparation.fit(other, subject.protocol, fitted.label_delay_days)
    if again.to_json() != fitted.to_json():
        yield Finding(
            Check.FUTURE,
            ("preparation",),
            Severity.LEAK,
            {},
            "encoders or weights change when test labels are turned round",
            "Fit them on training events alone",
        )


def _other_futures(dataset: Dataset, arrays: EventArrays) -> Iterator[OtherFuture]:
    test, everything = dataset.split_mask("test"), np.ones(len(arrays.customer), dtype=bool)
    turned = _turned_round(dataset, test)
    yield OtherFuture("test labels are turned round", turned, everything, everything)
    if arrays.day is None:
        yield OtherFuture("the test is cut off", _cut(dataset, ~test), ~test, everything)
        fold = fold_of(arrays.customer, arrays.variant)
        own = (fold == fold.min(initial=0)) & dataset.split_mask("train")
        what = "their own labels, and those of their fold, are turned round"
        yield OtherFuture(what, _turned_round(dataset, own), everything, own)
        return
    for split in SPLITS:
        days = arrays.day[dataset.split_mask(split)]
        if not len(days):
            continue
        day = int(np.median(days))
        past = arrays.day <= day
        yield OtherFuture("later orders are cut off", _cut(dataset, past), past, past)
        turned = _turned_round(dataset, arrays.day >= day)
        what = "labels of the same day and later are turned round"
        yield OtherFuture(what, turned, everything, past)
        some = (arrays.day >= day) & (np.arange(len(arrays.day)) % 2 == 0)
        what = "some labels of the same day and later are not known yet"
        yield OtherFuture(what, _unlabelled(dataset, some), everything, past)


def _turned_round(dataset: Dataset, chosen: np.ndarray) -> Dataset:
    """The dataset with the chosen labels turned from returned to kept and back."""
    returned = dataset.events["returned"]
    other = pc.subtract(pa.scalar(1, returned.type), returned)
    return _with_labels(dataset, pc.if_else(pa.array(chosen), other, returned))


def _unlabelled(dataset: Dataset, chosen: np.ndarray) -> Dataset:
    """The dataset without the chosen labels."""
    returned = dataset.events["returned"]
    nothing = pa.scalar(None, returned.type)
    return _with_labels(dataset, pc.if_else(pa.array(chosen), nothing, returned))


def _with_labels(dataset: Dataset, returned: pa.ChunkedArray) -> Dataset:
    place = dataset.events.column_names.index("returned")
    field = dataset.events.schema.field("returned")
    return replace(dataset, events=dataset.events.set_column(place, field, returned))


def _cut(dataset: Dataset, kept: np.ndarray) -> Dataset:
    return replace(dataset, events=dataset.events.filter(pa.array(kept)))


def _events_of(dataset: Dataset, split: str) -> np.ndarray:
    """The events of an event set: those that are learned from have labels."""
    is_used = (EventArrays.of(dataset).returned >= 0) | (split == "test")
    return np.flatnonzero(dataset.split_mask(split) & is_used)


def _changed_shares(
    before: FeatureMatrix, after: FeatureMatrix, kept: np.ndarray, unaware: np.ndarray
) -> dict[str, float]:
    """Share of the unaware events at which each feature differs, where any does."""
    differs = {}
    for names, left, right in (
        (before.numeric_names, before.numeric, after.numeric),
        (before.categorical_names, before.categorical, after.categorical),
    ):
        for position, name in enumerate(names):
            was, became = left[kept, position][unaware], right[unaware, position]
            changed = (was != became) & ~(np.isnan(was) & np.isnan(became))
            if changed.any():
                differs[name] = float(changed.mean())
    return differs
