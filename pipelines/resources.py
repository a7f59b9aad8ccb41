"""Time and peak memory of one stage of a command."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GIB = 1024**3
CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass
class Usage:
    """What a stage took.

    Attributes:
        seconds: Wall time.
        peak_memory_gib: Largest resident size of the process during the stage, in GiB; where the
            system cannot reset the mark (anything but Linux), since the process began.
    """

    seconds: float = 0.0
    peak_memory_gib: float = 0.0


@contextmanager
def measured() -> Iterator[Usage]:
    """Measure the block; the result is filled in when it ends."""
    usage = Usage()
    _reset_peak()
    started = time.perf_counter()
    try:
        yield usage
    finally:
        usage.seconds = time.perf_counter() - started
        usage.peak_memory_gib = _peak_bytes() / GIB


def _reset_peak() -> None:
    try:
        CLEAR_REFS.write_text("5")
    except OSError:
        return


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
