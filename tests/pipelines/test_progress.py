import io
import re

import pytest
from rich.console import Console

from pipelines.progress import PartReporter, ProgressReporter, progress_display


@pytest.fixture
def log():
    return io.StringIO()


def test_in_a_log_a_task_is_a_line_when_it_ends(log):
    with progress_display(Console(file=log)) as progress:
        reporter = ProgressReporter(progress)
        for done in range(4):
            reporter.progress("fit", done, 3)
        reporter.progress("fit", 3, 3)
    assert log.getvalue().startswith("fit: done in ")
    assert log.getvalue().count("\n") == 1


def test_what_is_counted_is_told_with_its_rate(log):
    with progress_display(Console(file=log)) as progress:
        reporter = ProgressReporter(progress)
        reporter.progress("score", 0, 12_000, unit="rows")
        reporter.progress("score", 12_000, 12_000, unit="rows")
    assert re.fullmatch(r"score: done in [\d.]+ s, 12,000 rows, [\d,]+ a second\n", log.getvalue())


def test_parts_move_the_whole_and_end_nothing(log):
    with progress_display(Console(file=log)) as progress:
        whole = ProgressReporter(progress)
        for part in range(2):
            reporter = PartReporter(whole, "tune", part, 2)
            reporter.progress("fit", 0)
            assert progress.tasks[0].completed == part
            reporter.progress("fit", 5, 10)
            assert (progress.tasks[0].completed, progress.tasks[0].total) == (part + 0.5, 2)
            reporter.progress("fit", 10, 10)
            reporter.metrics({"loss": 0.1 * part}, step=3)
            assert reporter.history == [(3, {"loss": 0.1 * part})]
        assert log.getvalue() == ""
        whole.progress("tune", 2, 2)
    assert log.getvalue().startswith("tune: done in ")


def test_what_is_said_is_printed_as_it_is(log):
    with progress_display(Console(file=log, width=20)) as progress:
        ProgressReporter(progress).say("[bold] is no markup, and a long line stays one")
    assert log.getvalue() == "[bold] is no markup, and a long line stays one\n"
