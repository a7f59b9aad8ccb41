import subprocess
import sys

import pytest

from data.validation import InputError
from pipelines.exclusive import exclusive

HOLD = """
import sys
from pathlib import Path
from pipelines.exclusive import exclusive

with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_only_one_process_holds_it_and_death_frees_it(tmp_path):
    lock = tmp_path / "work.lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=r"work\.lock: another process"), exclusive(lock):
            pass
        other.kill()
        other.wait()
        with exclusive(lock):
            pass


def test_it_is_free_again_after_the_block(tmp_path):
    for _ in range(2):
        with exclusive(tmp_path / "work.lock"):
            pass
