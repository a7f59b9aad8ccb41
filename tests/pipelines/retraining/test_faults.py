"""Faults that only whole processes can have: killed, two at once, a locked store, a full disk."""

import contextlib
import multiprocessing
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pytest

from pipelines import registry, retrain, tracking
from pipelines.command import run_command
from pipelines.home import Home
from pipelines.registry import CHAMPION

pytestmark = pytest.mark.slow

FIRST_CYCLE = date(2012, 12, 10)
NEXT_CYCLE = FIRST_CYCLE + timedelta(days=7)
KILLS = 10

# Processes are forked from one that has loaded everything: a kill hits work, not imports.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["pipelines.retrain", "mlflow", "sklearn.linear_model"])


def started(words: tuple[object, ...]):
    arguments = (retrain.Arguments, retrain.main, None, [str(word) for word in words])
    process = SERVER.Process(target=run_command, args=arguments)
    process.start()
    return process


def ended(words: tuple[object, ...]) -> int | None:
    """Exit code of a run in a process of its own."""
    process = started(words)
    process.join(timeout=300)
    return process.exitcode


def serves(home: Path) -> str:
    """Number of the champion, after it has loaded and scored."""
    mlflow.set_tracking_uri(None)
    tracking.connect(Home.prepare(home))
    version = registry.version_of(CHAMPION)
    assert version is not None
    registry.verify(version)
    return version.number


def test_killed_at_random_points_it_is_finished_by_the_next_run(shop, tmp_path):
    shop.export(FIRST_CYCLE)
    unharmed = shop.copy(tmp_path / "unharmed")
    ended(unharmed.words(NEXT_CYCLE, "--help"))  # starts the server
    began = time.monotonic()
    assert ended(unharmed.words(NEXT_CYCLE)) == 0
    seconds = time.monotonic() - began
    serves(unharmed.home)
    decision = registry.find("2").tags["decision"]
    expected = registry.probe(registry.verify(registry.find("2")))
    draw = random.Random(0)
    killed = 0
    for number in range(4 * KILLS):
        harmed = shop.copy(tmp_path / f"harmed-{number}")
        process = started(harmed.words(NEXT_CYCLE))
        time.sleep(draw.uniform(0.1, seconds))
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            killed += 1
        else:
            seconds *= 0.8  # the machine is quicker than it was at first
        assert serves(harmed.home) in ("1", "2")
        assert ended(harmed.words(NEXT_CYCLE)) == 0
        assert serves(harmed.home) == ("2" if decision == "promoted" else "1")
        versions = registry.versions()
        assert [version.number for version in versions] == ["2", "1"]
        assert versions[0].tags["decision"] == decision
        assert np.allclose(registry.probe(registry.verify(versions[0])), expected, atol=1e-9)
        left = sorted(path.name for path in (harmed.home / "retraining").iterdir())
        assert left == ["last.json", "lock"]
        runs = mlflow.search_runs(output_format="list")
        assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
        assert ended(harmed.words(NEXT_CYCLE)) == 0
        assert len(registry.versions()) == 2
        if killed == KILLS:
            return
    raise AssertionError(f"only {killed} of {4 * KILLS} runs were killed before they ended")


def test_of_two_at_once_one_does_the_work(shop):
    shop.export(FIRST_CYCLE)
    processes = [started(shop.words(NEXT_CYCLE)) for _ in range(2)]
    for process in processes:
        process.join(timeout=300)
    # The second finds the lock taken; or, if it came late, nothing left to do.
    assert sorted(process.exitcode for process in processes) in ([0, 75], [0, 0])
    serves(shop.home)
    assert [version.number for version in registry.versions()] == ["2", "1"]


def test_a_locked_database_is_waited_for_and_then_left_for_later(shop):
    shop.export(FIRST_CYCLE)
    other = sqlite3.connect(shop.home / "mlflow.db", isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN EXCLUSIVE")
        assert ended(shop.words(NEXT_CYCLE)) == 75
        other.execute("ROLLBACK")
    assert serves(shop.home) == "1"
    assert ended(shop.words(NEXT_CYCLE)) == 0
    serves(shop.home)
    assert len(registry.versions()) == 2


def test_a_database_that_locks_in_the_middle_costs_no_training(shop):
    """Locked as soon as the model is fitted: the next run goes on from there."""
    shop.export(FIRST_CYCLE)
    process = started(shop.words(NEXT_CYCLE))
    fits = []
    while process.is_alive() and not fits:
        fits = list((shop.home / "retraining").glob("*/fits/logistic/fit.json"))
        time.sleep(0.01)
    other = sqlite3.connect(shop.home / "mlflow.db", isolation_level=None, timeout=60)
    with contextlib.closing(other):
        other.execute("BEGIN EXCLUSIVE")
        process.join(timeout=300)
        other.execute("ROLLBACK")
    assert process.exitcode == 75
    assert serves(shop.home) == "1"
    written = fits[0].stat().st_mtime_ns
    assert ended(shop.words(NEXT_CYCLE, "--dry-run")) == 0
    assert fits[0].stat().st_mtime_ns == written
    assert ended(shop.words(NEXT_CYCLE)) == 0
    assert len(registry.versions()) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory, too small at first."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", folder], capture_output=True
    )
    if mount.returncode:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


def test_a_disk_that_is_full_anywhere_is_told_and_the_next_run_goes_on(shop, small_disk):
    shop.export(FIRST_CYCLE)
    home = small_disk / "artifacts"
    shutil.copytree(shop.home, home)
    words = [
        small_disk / "artifacts" if word == shop.home else word for word in shop.words(NEXT_CYCLE)
    ]
    used = shutil.disk_usage(small_disk).used
    codes = []
    for spare in range(0, 4_000_000, 250_000):
        resize(small_disk, str(used + spare))
        codes.append(ended(words))
        if codes[-1] == 0:
            break
    assert set(codes) == {0, 75}, codes
    assert len(codes) >= 4
    assert codes[-1] == 0
