from datetime import UTC, datetime, timedelta

import pytest

from data.validation import InputError
from pipelines.retraining.crontab import cron_trigger

SATURDAY = datetime(2026, 8, 1, tzinfo=UTC)


def times(expression: str, number: int, zone: str = "UTC", start: datetime = SATURDAY):
    trigger, found = cron_trigger(expression, zone), []
    while len(found) < number:
        found.append(trigger.get_next_fire_time(found[-1] if found else None, start))
        start = found[-1] + timedelta(seconds=1)
    return found


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("1", ["Mon"]),
        ("0", ["Sun"]),
        ("7", ["Sun"]),
        ("mon", ["Mon"]),
        ("SUN", ["Sun"]),
        ("1-5", ["Mon", "Tue", "Wed", "Thu", "Fri"]),
        ("5-7", ["Fri", "Sat", "Sun"]),
        ("0-2", ["Sun", "Mon", "Tue"]),
        ("6,3", ["Wed", "Sat"]),
        ("mon-fri/2", ["Mon", "Wed", "Fri"]),
        ("*/2", ["Sun", "Tue", "Thu", "Sat"]),
        ("5/1", ["Fri", "Sat"]),
    ],
)
def test_weekdays_are_those_of_cron(field, days):
    found = {f"{time:%a}" for time in times(f"0 3 * * {field}", 14)}
    assert found == set(days)


def test_every_monday_at_three_where_the_shop_is():
    first, second = times("0 3 * * 1", 2, "Europe/Berlin")
    assert first == datetime(2026, 8, 3, 1, tzinfo=UTC)
    assert second - first == timedelta(days=7)


def test_day_and_weekday_hold_one_or_the_other():
    found = [f"{time:%a %d}" for time in times("0 3 13 * 1", 4)]
    assert found == ["Mon 03", "Mon 10", "Thu 13", "Mon 17"]


def test_the_hour_that_summer_time_skips_and_the_one_it_repeats_each_start_one_run():
    spring = times("30 2 * * *", 3, "Europe/Berlin", datetime(2026, 3, 28, tzinfo=UTC))
    assert [time.astimezone(UTC).day for time in spring] == [28, 29, 30]
    autumn = times("0 3 * * *", 3, "Europe/Berlin", datetime(2026, 10, 24, tzinfo=UTC))
    assert [time.astimezone(UTC).hour for time in autumn] == [1, 2, 2]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("0 3 * *", "it has 4 fields"),
        ("0 3 * * 1 *", "it has 6 fields"),
        ("60 3 * * 1", "60"),
        ("0 24 * * 1", "24"),
        ("0 3 32 * *", "32"),
        ("0 3 * * 8", "'8' names no weekdays"),
        ("0 3 * * foo", "'foo' is no weekday"),
        ("0 3 * * 5-1", "runs backwards"),
        ("weekly", "it has 1 fields"),
    ],
)
def test_what_is_no_crontab_line_is_refused(expression, says):
    with pytest.raises(InputError, match=says):
        cron_trigger(expression, "UTC")


def test_both_faults_are_told():
    with pytest.raises(InputError) as raised:
        cron_trigger("0 3 * * 9", "Europe/Atlantis")
    assert {fault.file for fault in raised.value.faults} == {"--schedule", "--time-zone"}
