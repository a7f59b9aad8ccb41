"""Runs a command at the times of a trigger, in the foreground, until it is told to stop.

Each run is a process of its own, so that whatever happens to it, the schedule goes on. A run that
was missed because the machine slept or the schedule did not run is made up for once.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import FrameType

from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.base import BaseTrigger

from pipelines.command import TRY_AGAIN

RETRY_AFTER = timedelta(minutes=15)
"""Pause before a run that could not be done is tried again."""

SECONDS_TO_STOP = 30
"""Time that a run has to end when the schedule stops; afterwards it is killed."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)

Say = Callable[[str], None]


class Schedule:
    """A command and when it runs; one run at a time."""

    def __init__(
        self,
        trigger: BaseTrigger,
        command: Sequence[str],
        say: Say,
        retry_after: timedelta = RETRY_AFTER,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            trigger: The times.
            command: Words of the command.
            say: Prints a line.
            retry_after: Pause before a run that ended with 75, not possible now, is tried again.
        """
        self._trigger, self._command = trigger, list(command)
        self._say, self._retry_after = say, retry_after
        self._scheduler = BlockingScheduler(
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._one_run = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def serve(self, last: datetime | None) -> None:
        """Run until SIGTERM or SIGINT.

        Args:
            last: When the last run ended well; a time of the trigger since then is made up for
                now. None: it never ran.
        """
        before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        try:
            now = datetime.now(UTC)
            if last is not None and missed(self._trigger, last, now):
                self._say("a run was missed, it is made up for")
                self._scheduler.add_job(self._run)
            self._scheduler.add_job(self._run, self._trigger)
            self._say(f"next run: {self._trigger.get_next_fire_time(None, now)}")
            self._scheduler.start()
            self._end_run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        self._say("stopped")

    def _run(self) -> None:
        # A second chance may fall on a regular time.
        with self._one_run:
            if self._stopping:
                return
            self._say(f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}: {' '.join(self._command)}")
            self._running = subprocess.Popen(self._command)
            code = self._running.wait()
            self._running = None
            self._say(f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}: ended with {code}")
        if code == TRY_AGAIN and not self._stopping:
            later = datetime.now(UTC) + self._retry_after
            self._scheduler.add_job(
                self._run, "date", run_date=later, id="retry", replace_existing=True
            )
            self._say(f"tried again at {later.astimezone():%H:%M %Z}")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Leave the schedule; a signal's handler."""
        self._stopping = True
        self._say(f"{signal.Signals(number).name}: stopping")
        self._scheduler.shutdown(wait=False)

    def _end_run(self) -> None:
        """End the run that is under way, and wait for it; what it did is kept."""
        deadline = time.monotonic() + SECONDS_TO_STOP
        while not self._one_run.acquire(timeout=0.1):
            running = self._running
            if running is not None:
                running.terminate() if time.monotonic() < deadline else running.kill()
        self._one_run.release()


def missed(trigger: BaseTrigger, last: datetime, now: datetime) -> bool:
    """Whether a time of the trigger lies between the last run and now."""
    due = trigger.get_next_fire_time(None, last)
    return due is not None and due <= now
