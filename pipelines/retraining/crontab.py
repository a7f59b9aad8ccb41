"""Times in the five fields of a crontab, as cron itself understands them.

APScheduler reads the same fields, with two differences that would start a job on the wrong day: it
counts weekdays from Monday = 0, where cron counts from Sunday = 0; and where day of the month and
weekday are both restricted it wants both, where cron takes either (crontab(5)).
"""

import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from data.validation import Fault, InputError

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
PART = re.compile(r"(\*|[0-7]|[a-z]{3})(?:-([0-7]|[a-z]{3}))?(?:/([1-7]))?")
FIELDS = ("minute", "hour", "day", "month", "day_of_week")


def cron_trigger(expression: str, time_zone: str | None) -> BaseTrigger:
    """When a crontab line would start its command.

    Args:
        expression: Minute, hour, day of the month, month, weekday.
        time_zone: Name such as Europe/Berlin; None: that of the machine.

    Raises:
        InputError: The expression or the time zone cannot be read; carries both faults.
    """
    faults = []
    zone = None
    try:
        zone = None if time_zone is None else ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        remedy = "Use a name such as Europe/Berlin"
        faults.append(Fault("--time-zone", f"'{time_zone}' is no time zone", remedy))
    values = expression.lower().split()
    try:
        if len(values) != len(FIELDS):
            raise ValueError(f"it has {len(values)} fields, not {len(FIELDS)}")
        values[-1] = _named_weekdays(values[-1])
        triggers = [
            CronTrigger(**dict(zip(FIELDS, each, strict=True)), timezone=zone)
            for each in _alternatives(values)
        ]
    except ValueError as error:
        message = f"'{expression}' cannot be read: {error}"
        faults.append(Fault("--schedule", message, 'Such as "0 3 * * 1", Mondays at 3'))
    if faults:
        raise InputError(faults)
    return triggers[0] if len(triggers) == 1 else OrTrigger(triggers)


def _alternatives(values: Sequence[str]) -> list[Sequence[str]]:
    """The field lists of which any may hold: two where day and weekday are both restricted."""
    minute, hour, day, month, weekday = values
    if "*" in (day[0], weekday[0]):
        return [values]
    return [(minute, hour, day, month, "*"), (minute, hour, "*", month, weekday)]


def _named_weekdays(field: str) -> str:
    """Weekdays by name, each one spelt out; `*` stays."""
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.split(","):
        found = PART.fullmatch(part)
        if found is None:
            raise ValueError(f"'{part}' names no weekdays")
        first, last, step = found.groups()
        if first == "*":
            begin, end = 0, 6
        else:
            begin = _weekday(first)
            end = begin if last is None and step is None else 6 if last is None else _weekday(last)
        if end < begin:
            raise ValueError(f"'{part}' runs backwards")
        days |= {day % 7 for day in range(begin, end + 1, int(step or 1))}
    return ",".join(WEEKDAYS[day] for day in sorted(days))


def _weekday(text: str) -> int:
    if text.isdigit():
        return int(text)
    if text not in WEEKDAYS:
        raise ValueError(f"'{text}' is no weekday")
    return WEEKDAYS.index(text)
