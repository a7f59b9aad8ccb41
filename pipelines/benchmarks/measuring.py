"""Time and peak memory of contenders at the same task."""

import gc
import time
from collections.abc import Callable, Mapping

from pipelines.allocation import give_freed_memory_back
from pipelines.benchmarks.measurement import CPU, PEAK, WALL, Measurement
from pipelines.resources import measured

Contenders = Mapping[str, Callable[[], object]]
"""What each contender does once, by its name."""


def times_in_turns(
    subject: str, contenders: Contenders, repeats: int, size: int = 1
) -> list[Measurement]:
    """Let contenders do their task in turns, so that what disturbs the machine disturbs all.

    Args:
        subject: The task.
        contenders: What each does once; first once without being measured, to warm up.
        repeats: How often each is measured.
        size: Number of equal parts of the task; the times are those of one part.

    Returns:
        Wall and CPU seconds of each contender.
    """
    for work in contenders.values():
        work()
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, work in contenders.items():
            wall_start, cpu_start = time.perf_counter(), time.process_time()
            work()
            cpu[name].append((time.process_time() - cpu_start) / size)
            wall[name].append((time.perf_counter() - wall_start) / size)
    return [
        Measurement(subject, name, quantity, tuple(seconds[name]))
        for name in contenders
        for quantity, seconds in ((WALL, wall), (CPU, cpu))
    ]


def once(subject: str, contender: str, work: Callable[[], object]) -> list[Measurement]:
    """Let one contender do what takes long, once.

    Args:
        subject: The task.
        contender: Its name.
        work: What it does.

    Returns:
        Wall and CPU seconds, and peak resident size.
    """
    cpu_start = time.process_time()
    with measured() as usage:
        work()
    cpu = time.process_time() - cpu_start
    figures = {WALL: usage.seconds, CPU: cpu, PEAK: usage.peak_memory_gib}
    return [Measurement(subject, contender, key, (figure,)) for key, figure in figures.items()]


def resident_gib() -> float:
    """Resident size of this process once free memory is given back, in GiB.

    Where the system cannot reset the mark of the peak (anything but Linux): the peak so far.
    """
    gc.collect()
    give_freed_memory_back()
    with measured() as nothing:
        pass
    return nothing.peak_memory_gib


def peak_gib(work: Callable[[], object]) -> float:
    """Peak resident size of this process while it works, in GiB."""
    with measured() as usage:
        work()
    return usage.peak_memory_gib
