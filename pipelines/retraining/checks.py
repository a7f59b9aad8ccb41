"""Whether order lines can be learned from without anyone looking at them first."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from data.dataset import Dataset, Manifest
from data.partitions import Partition
from data.schema import SPLITS
from data.validation import Fault, InputError
from pipelines.model_arguments import require_both_classes
from returns.knowledge import EventArrays

EPOCH = date(1970, 1, 1)
DAYS_A_WEEK = 7

FEWEST_WEEKS = 4
"""Weeks that a median of weekly volume needs."""

FEWEST_TEST_EVENTS = 200
"""Labelled order lines of the test, below which no comparison tells anything."""


def check_files(
    partitions: Sequence[Partition], accepted: Collection[Path], today: date, most_rejected: float
) -> None:
    """Check what is known of files once they are read.

    Args:
        partitions: All files.
        accepted: Kept rows that a finished cycle learned from. That rows are kept says nothing by
            itself: they are even if their file was refused.
        today: The day it is.
        most_rejected: Largest share of the rows of any other file that may be set aside.

    Raises:
        InputError: A file holds orders of days to come, or too many of its rows are faulty.
    """
    faults = []
    for partition in partitions:
        if partition.last_day > today:
            message = f"it holds orders of {partition.last_day}, and today is {today}"
            faults.append(Fault(partition.name, message, "Set the clock, or correct the file"))
        rows = partition.num_rows + partition.num_rejected
        is_new = partition.kept not in accepted
        if is_new and partition.num_rejected > most_rejected * rows:
            (reason, number), *_ = _most_common_reasons(partition)
            message = (
                f"{partition.num_rejected} of {rows} rows are faulty, {number} of them: {reason}"
            )
            remedy = "Export it again, or raise --most-rejected"
            faults.append(Fault(partition.name, message, remedy))
    if faults:
        raise InputError(faults)


def check_dataset(
    dataset: Dataset, manifest: Manifest, new_since: date | None, volume_factor: float
) -> None:
    """Check volume, and that every part can be learned from and measured on.

    Args:
        dataset: All order lines.
        manifest: Of the dataset.
        new_since: Last day of the orders of the cycle before; None if this is the first.
        volume_factor: How many times fewer or more order lines a new week may have than the median
            week.

    Raises:
        InputError: A new week has too few or too many order lines, or a part too few labels.
    """
    faults = _volume_faults(EventArrays.of(dataset), new_since, volume_factor)
    try:
        require_both_classes(manifest, SPLITS)
    except InputError as error:
        faults += error.faults
    labels = EventArrays.of(dataset).returned[dataset.split_mask("test")]
    labelled = int((labels >= 0).sum())
    if labelled < FEWEST_TEST_EVENTS:
        message = f"the test has {labelled} labelled order lines, {FEWEST_TEST_EVENTS} are needed"
        remedy = "Give more data, or more --test-days; labels come --label-delay-days late"
        faults.append(Fault(manifest.source, message, remedy))
    if faults:
        raise InputError(faults)


def _volume_faults(
    events: EventArrays, new_since: date | None, volume_factor: float
) -> list[Fault]:
    """Whole weeks, counted back from the last day, that differ much from the median week before."""
    assert events.day is not None
    last = int(events.day.max())
    week = (last - events.day) // DAYS_A_WEEK
    lines = np.bincount(week)
    # The earliest week may be cut short by the beginning of the data.
    whole = len(lines) - 1
    if new_since is None:
        num_new = min(FEWEST_WEEKS, whole)
    else:
        num_new = -(-(last - (new_since - EPOCH).days) // DAYS_A_WEEK)
    before = lines[num_new:whole]
    if len(before) < FEWEST_WEEKS:
        return []
    usual = float(np.median(before))
    faults = []
    for place in range(num_new):
        if not usual / volume_factor <= lines[place] <= usual * volume_factor:
            end = EPOCH + timedelta(days=last - DAYS_A_WEEK * place)
            message = (
                f"the week to {end} has {lines[place]:,} order lines, the median week {usual:,.0f}"
            )
            remedy = "See whether files are missing or doubled, or raise --volume-factor"
            faults.append(Fault("order lines", message, remedy))
    return faults


def _most_common_reasons(partition: Partition) -> list[tuple[str, int]]:
    return Counter(partition.rejects()["reason"].to_pylist()).most_common()
