import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from apscheduler.triggers.interval import IntervalTrigger

from pipelines.retraining.crontab import cron_trigger
from pipelines.retraining.schedule import Schedule, missed

NEVER = cron_trigger("0 3 1 1 *", "UTC")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def serve(schedule: Schedule, until, last: datetime | None = None) -> float:
    """Keep a schedule until a condition holds, then send SIGTERM; seconds it took to stop."""
    sent = []

    def watch() -> None:
        deadline = time.monotonic() + 60
        while not until() and time.monotonic() < deadline:
            time.sleep(0.02)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=watch)
    watcher.start()
    schedule.serve(last)
    watcher.join()
    return time.monotonic() - sent[0]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def shell(script: str, path: Path) -> list[str]:
    return ["sh", "-c", script, "sh", str(path)]


def test_a_command_runs_again_and_again_until_told_to_stop(tmp_path):
    said, log = [], tmp_path / "log"
    trigger = IntervalTrigger(seconds=0.1)
    handler = signal.getsignal(signal.SIGTERM)
    serve(
        Schedule(trigger, shell('echo run >> "$1"', log), said.append), lambda: len(lines(log)) > 2
    )
    assert any(line.startswith("next run: ") for line in said)
    assert any(line.endswith("ended with 0") for line in said)
    assert said[-2:] == ["SIGTERM: stopping", "stopped"]
    assert signal.getsignal(signal.SIGTERM) is handler
    number = len(lines(log))
    time.sleep(0.3)
    assert len(lines(log)) == number


def test_one_run_at_a_time(tmp_path):
    log = tmp_path / "log"
    script = 'echo begin >> "$1"; sleep 0.3; echo end >> "$1"'
    serve(
        Schedule(IntervalTrigger(seconds=0.05), shell(script, log), lambda _: None),
        lambda: len(lines(log)) >= 6,
    )
    assert lines(log)[:6] == ["begin", "end"] * 3


def test_stopping_ends_the_run_that_is_under_way(tmp_path):
    log = tmp_path / "log"
    schedule = Schedule(NEVER, shell('echo run >> "$1"; exec sleep 600', log), lambda _: None)
    assert serve(schedule, lambda: lines(log), last=LONG_AGO) < 20


def test_a_run_that_was_missed_is_made_up_for_once(tmp_path):
    said, log = [], tmp_path / "log"
    schedule = Schedule(NEVER, shell('echo run >> "$1"', log), said.append)
    serve(schedule, lambda: any("ended with" in line for line in said), last=LONG_AGO)
    assert lines(log) == ["run"]
    assert said[0] == "a run was missed, it is made up for"


@pytest.mark.parametrize("last", [None, datetime.now(UTC)])
def test_a_first_run_waits_for_its_time_and_so_does_the_next(tmp_path, last):
    log = tmp_path / "log"
    began = time.monotonic()
    schedule = Schedule(NEVER, shell('echo run >> "$1"', log), lambda _: None)
    serve(schedule, lambda: time.monotonic() > began + 0.5, last)
    assert lines(log) == []


def test_what_was_not_possible_is_tried_again_and_what_failed_is_not(tmp_path):
    said, log = [], tmp_path / "log"
    script = 'echo run >> "$1"; [ $(wc -l < "$1") -ge 3 ] && exit 1; exit 75'
    schedule = Schedule(NEVER, shell(script, log), said.append, timedelta(seconds=0.05))
    serve(schedule, lambda: any("ended with 1" in line for line in said), last=LONG_AGO)
    assert len(lines(log)) == 3
    assert sum(line.startswith("tried again at") for line in said) == 2


def test_a_time_between_the_last_run_and_now_was_missed():
    trigger = cron_trigger("0 3 * * 1", "UTC")
    monday = datetime(2026, 8, 3, 3, tzinfo=UTC)
    hour = timedelta(hours=1)
    assert missed(trigger, monday - hour, monday + hour)
    assert not missed(trigger, monday + hour, monday + timedelta(days=6))
