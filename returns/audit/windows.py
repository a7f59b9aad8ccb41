"""How many labels, and how many returns among them, an unhonest history may have counted.

For each event and key (its customer, its variant, its brand, ...) the sums over a window of
labelled events of the same key. All windows but `before the day` hold labels that were not known
when the order was placed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data.dataset import Dataset
from returns.knowledge import EventArrays

BEFORE_THE_DAY = "before the day"
"""The honest window of dated data."""


@dataclass(frozen=True)
class LabelSums:
    """Sums of the labels in a window, for some events.

    Attributes:
        labelled: Labelled events in the window, int64 `(num_events,)`.
        returned: Returned ones among them, int64 `(num_events,)`.
    """

    labelled: np.ndarray
    returned: np.ndarray


def label_windows(
    dataset: Dataset, arrays: EventArrays, key: np.ndarray, targets: np.ndarray
) -> Mapping[str, LabelSums]:
    """The sums of every window.

    Args:
        dataset: All events.
        arrays: Their labels and days.
        key: Code of each event, int64 `(num_events,)`, -1 unknown.
        targets: Events wanted, int64 `(num_targets,)`, each with a label and a known key.

    Returns:
        Sums by the window's name: `over all events`; `over all other events`; `over the split`
        (train, validation or test); `over the half` (train with validation, or test); `up to the
        line`, in the order of dates and then of rows; for dated data `up to the day`, and `before
        the day`.
    """
    part = dataset.split_mask("validation") + 2 * dataset.split_mask("test")
    own = np.stack([np.ones(len(targets), np.int64), arrays.returned[targets]], axis=1)
    everywhere = _grouped(arrays, key, np.zeros_like(key), targets)
    sums = {
        "over all events": everywhere,
        "over all other events": everywhere - own,
        "over the split": _grouped(arrays, key, part.astype(np.int64), targets),
        "over the half": _grouped(arrays, key, (part == 2).astype(np.int64), targets),
        **_running(arrays, key, targets),
    }
    return {name: LabelSums(each[:, 0], each[:, 1]) for name, each in sums.items()}


def _grouped(
    arrays: EventArrays, key: np.ndarray, part: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """Sums over all events of the same key and part, int64 `(num_targets, 2)`."""
    code = key * (int(part.max(initial=0)) + 1) + part
    used = (arrays.returned >= 0) & (key >= 0)
    size = int(code.max(initial=0)) + 1
    labelled = np.bincount(code[used], minlength=size)
    returned = np.bincount(code[used & (arrays.returned == 1)], minlength=size)
    return np.stack([labelled[code[targets]], returned[code[targets]]], axis=1)


def _running(arrays: EventArrays, key: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    """Sums over the events of the same key up to a place in time."""
    day = np.zeros_like(key) if arrays.day is None else arrays.day
    day = day - day.min(initial=0)
    code = key * (int(day.max(initial=0)) + 1) + day
    order = np.argsort(code, kind="stable")
    sorted_code = code[order]
    labels = np.stack([arrays.returned >= 0, arrays.returned == 1], axis=1)[order]
    before = np.zeros((len(order) + 1, 2), dtype=np.int64)
    np.cumsum(labels, axis=0, out=before[1:])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    start = before[np.searchsorted(sorted_code, (code - day)[targets])]
    sums = {"up to the line": before[place[targets] + 1] - start}
    if arrays.day is not None:
        first = np.searchsorted(sorted_code, code[targets])
        after = np.searchsorted(sorted_code, code[targets], side="right")
        sums |= {"up to the day": before[after] - start, BEFORE_THE_DAY: before[first] - start}
    return sums
