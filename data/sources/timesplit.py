"""Parting dated events by time: train, then validation, then test.

By default the last calendar month of the data is the test and the month before it validation, so
that a model is always judged on orders later than any it learned from.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class SplitDays:
    """First day of validation and of the test; all days before are train.

    Attributes:
        validation_from: First day of validation.
        test_from: First day of the test.
    """

    validation_from: date
    test_from: date


def resolve_split_days(
    last_day: date, validation_from: date | None = None, test_from: date | None = None
) -> SplitDays:
    """Fill in the days that the user left open.

    Args:
        last_day: Last day of the data.
        validation_from: None: the first day of the month before the test's first day.
        test_from: None: the first day of the data's last calendar month.

    Raises:
        ValueError: Validation would not begin before the test.
    """
    test = test_from or last_day.replace(day=1)
    validation = validation_from or (test.replace(day=1) - timedelta(days=1)).replace(day=1)
    if validation >= test:
        raise ValueError(f"validation would begin on {validation}, not before the test on {test}")
    return SplitDays(validation, test)


def split_by_time(time: pa.ChunkedArray, days: SplitDays) -> pa.ChunkedArray:
    """The part that each event belongs to.

    Args:
        time: Order date of each event, date32 `(num_events,)`, without nulls.
        days: Where the parts begin.

    Returns:
        `train`, `validation` or `test`, string `(num_events,)`.
    """
    before_test = pc.less(time, pa.scalar(days.test_from))
    before_validation = pc.less(time, pa.scalar(days.validation_from))
    later = pc.if_else(before_test, pa.scalar("validation"), pa.scalar("test"))
    return pc.if_else(before_validation, pa.scalar("train"), later)
