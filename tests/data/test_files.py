import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.files import atomic_file, atomic_folder, digest_folder, is_alive


def test_a_folder_is_whole_or_absent(tmp_path):
    target = tmp_path / "made"
    with pytest.raises(RuntimeError), atomic_folder(target) as partial:
        (partial / "half").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with atomic_folder(target) as partial:
        (partial / "whole").touch()
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["whole"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_leftovers_of_dead_processes_are_swept_and_those_of_live_ones_stay(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    assert is_alive(os.getpid())
    assert not is_alive(dead.pid)
    left, live = (tmp_path / f".made.{pid}.x.partial" for pid in (dead.pid, os.getppid()))
    left.mkdir()
    live.mkdir()
    with atomic_folder(tmp_path / "made"):
        assert not left.exists()
    assert live.exists()


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_leftovers_of_a_dead_process_of_the_same_number_are_swept_and_open_ones_stay(
    tmp_path, monkeypatch, write
):
    left = tmp_path / f".made.{os.getpid()}.x.partial"
    left.touch()
    monkeypatch.chdir(tmp_path)
    with write(Path("made")) as open_here:
        open_here.touch()
        assert not left.exists()
        with atomic_file(tmp_path / "made") as other:
            other.touch()
            assert open_here.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_the_first_of_two_writers_stands(tmp_path):
    target = tmp_path / "made"
    with atomic_folder(target) as late:
        (late / "second").touch()
        with atomic_folder(target) as early:
            (early / "first").touch()
    assert [path.name for path in target.iterdir()] == ["first"]


def test_the_digest_of_a_folder_is_of_names_and_contents(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.txt").write_text("1")
    (tmp_path / "b.py").write_text("2")
    whole, python = digest_folder(tmp_path), digest_folder(tmp_path, "*.py")
    assert whole != python
    assert digest_folder(tmp_path) == whole
    (tmp_path / "inner" / "a.txt").write_text("3")
    assert digest_folder(tmp_path) != whole
    assert digest_folder(tmp_path, "*.py") == python
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    assert digest_folder(tmp_path, "*.py") != python
