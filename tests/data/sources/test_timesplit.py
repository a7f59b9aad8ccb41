from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.sources.timesplit import SplitDays, resolve_split_days, split_by_time


@pytest.mark.parametrize(
    ("last_day", "validation_from", "test_from"),
    [
        (date(2013, 2, 28), date(2013, 1, 1), date(2013, 2, 1)),
        (date(2013, 1, 1), date(2012, 12, 1), date(2013, 1, 1)),
        (date(2012, 3, 31), date(2012, 2, 1), date(2012, 3, 1)),
    ],
)
def test_last_month_is_test_and_the_month_before_validation(
    last_day: date, validation_from: date, test_from: date
) -> None:
    assert resolve_split_days(last_day) == SplitDays(validation_from, test_from)


def test_validation_goes_back_to_the_first_of_the_month_before_a_given_test_day() -> None:
    days = resolve_split_days(date(2013, 5, 9), test_from=date(2013, 3, 15))
    assert days == SplitDays(date(2013, 2, 1), date(2013, 3, 15))


def test_given_days_stand() -> None:
    given_days = (date(2012, 6, 3), date(2012, 7, 9))
    assert resolve_split_days(date(2013, 5, 9), *given_days) == SplitDays(*given_days)


@pytest.mark.parametrize("validation_from", [date(2013, 2, 1), date(2013, 2, 2)])
def test_validation_must_begin_before_the_test(validation_from: date) -> None:
    with pytest.raises(ValueError, match="not before the test on 2013-02-01"):
        resolve_split_days(date(2013, 2, 20), validation_from=validation_from)


@given(st.lists(st.dates(date(2011, 1, 1), date(2013, 12, 31)), min_size=1))
def test_parts_follow_each_other_in_time_and_meet_at_the_days(order_days: list[date]) -> None:
    days = resolve_split_days(max(order_days))
    parts = split_by_time(pa.chunked_array([pa.array(order_days)]), days).to_pylist()
    expected = [
        "test"
        if day >= days.test_from
        else "validation"
        if day >= days.validation_from
        else "train"
        for day in order_days
    ]
    assert parts == expected
    assert parts[int(np.argmax(np.array(order_days)))] == "test"
    assert (days.test_from - timedelta(days=1)).replace(day=1) == days.validation_from
