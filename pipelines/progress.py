"""Progress bars, and a record of the metrics that long work reports."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text


class ProgressReporter:
    """Shows each task as a bar (on a terminal) or a line when it ends (in a log).

    Attributes:
        history: Metrics reported so far, as `(step, values)`.
    """

    def __init__(self, progress: Progress) -> None:
        """Report into a running progress display."""
        self.history: list[tuple[int, dict[str, float]]] = []
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}

    def progress(
        self, task: str, completed: float, total: float | None = None, unit: str | None = None
    ) -> None:
        """Move a task's bar.

        Args:
            task: Its name.
            completed: What is done of it.
            total: All there is to do; None: unknown.
            unit: What is counted, such as rows, where its number and rate are to be shown.
        """
        if task not in self._tasks:
            self._tasks[task] = self._progress.add_task(task, total=total, unit=unit)
            self._started[task] = time.perf_counter()
        self._progress.update(self._tasks[task], completed=completed, total=total)
        if total is not None and completed >= total and task in self._started:
            seconds = time.perf_counter() - self._started.pop(task)
            if not self._progress.console.is_terminal:
                rate = (
                    f", {total:,.0f} {unit}, {total / max(seconds, 1e-9):,.0f} a second"
                    if unit
                    else ""
                )
                self._progress.console.print(f"{task}: done in {seconds:.1f} s{rate}")

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record metrics of one step."""
        self.history.append((step, dict(values)))

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def stop(self, task: str) -> None:
        """End a task that stopped before its total."""
        if task in self._started:
            done = self._progress.tasks[self._tasks[task]].completed
            self.progress(task, max(done, 1), max(done, 1))


class PartReporter:
    """Shows work as one of the equal parts of a longer task, and records its metrics.

    Attributes:
        history: Metrics reported so far, as `(step, values)`.
    """

    def __init__(self, whole: ProgressReporter, task: str, part: int, parts: int) -> None:
        """Report into a longer task.

        Args:
            whole: Shows the longer task.
            task: Its name.
            part: How many of its parts are done already.
            parts: How many it has.
        """
        self.history: list[tuple[int, dict[str, float]]] = []
        self._whole, self._task = whole, task
        self._part, self._parts = part, parts

    def progress(self, task: str, completed: float, total: float | None = None) -> None:
        """Move the longer task's bar; the part's end is for the caller to say."""
        share = completed / total if total else 0.0
        if share < 1:
            self._whole.progress(self._task, self._part + share, self._parts)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record metrics of one step."""
        self.history.append((step, dict(values)))


class _RateColumn(ProgressColumn):
    """How many of what a task counts are done in a second; nothing where it names no unit."""

    def render(self, task: Task) -> Text:
        unit, speed = task.fields.get("unit"), task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {unit}/s" if unit and speed else "")


@contextmanager
def progress_display(console: Console) -> Iterator[Progress]:
    """Progress bars on a console, until the block ends."""
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        TaskProgressColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress
