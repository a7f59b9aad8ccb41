"""Whether other processes disturbed a measurement."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STATISTICS = Path("/proc/stat")


@dataclass
class Others:
    """What other processes did meanwhile.

    Attributes:
        cores: That they kept busy, on average; None where the system does not tell.
    """

    cores: float | None = None


@contextmanager
def others_busy() -> Iterator[Others]:
    """Observe the machine while the block runs; the result is filled in when it ends."""
    others = Others()
    started, busy, own = time.perf_counter(), _busy_seconds(), _own_seconds()
    try:
        yield others
    finally:
        seconds, busy_after = time.perf_counter() - started, _busy_seconds()
        if busy is not None and busy_after is not None:
            foreign = (busy_after - busy) - (_own_seconds() - own)
            others.cores = max(0.0, foreign / seconds)


def _busy_seconds() -> float | None:
    """CPU seconds of all processes since the machine started, those taken by its host included."""
    if not STATISTICS.exists():
        return None
    words = STATISTICS.read_text().splitlines()[0].split()
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, words[1:9])
    ticks = user + nice + system + interrupts + soft_interrupts + stolen
    return ticks / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """CPU seconds of this process and of those it has waited for."""
    return sum(os.times()[:4])
