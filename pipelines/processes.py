"""One command in several processes that torchrun started: they begin, agree and end together."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import TypeVar, cast

from data.files import is_alive
from data.validation import Fault, InputError

Result = TypeVar("Result")

LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables by which torchrun tells a process its place."""

LONGEST_WAIT = timedelta(days=7)
"""Until a process gives up waiting for what another does alone; a dead one is noticed at once."""

SECONDS_TO_END = 5.0
"""From torchrun's signal until work that has not ended by itself is interrupted."""

SECONDS_UNTIL_TOLD = 30.0
"""Longest wait for torchrun's signal."""

LOST = """\
error: {lost} of the {number} processes ended before the work was done, so the others end too.
torchrun's report below tells how it ended. What was finished is kept, nothing is half-written:
give the same command again. ({cause})"""


def num_processes() -> int:
    """Number of processes that torchrun started; 1 where it started none."""
    launched = all(name in os.environ for name in LAUNCHED)
    return int(os.environ["WORLD_SIZE"]) if launched else 1


def is_first() -> bool:
    """Whether this process speaks for all: it prints, keeps the records and writes the files."""
    return num_processes() == 1 or int(os.environ["RANK"]) == 0


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes, if torchrun started any, until the block ends.

    However the block ends, the first process says why, once, and torchrun's report names the
    process that failed, not those that ended for want of it:

    - Wrong usage or input: the others wait until the first process has spoken and ended.
    - Another error: its traceback goes into torchrun's report.
    - Another process has ended: the survivors end, and the first of them says what that means.
    """
    if num_processes() == 1:
        yield
        return
    from torch import cuda, distributed
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    from returns import parallel

    ending = _Ending()
    errors = get_error_handler()
    errors.initialize()
    distributed.init_process_group(_backend(), timeout=LONGEST_WAIT)
    if cuda.is_available():
        cuda.set_device(parallel.device())
    everybody = parallel.gathered((socket.gethostname(), os.getpid()))
    try:
        yield
    except parallel.ProcessLostError as error:
        ending.wait_until_told()
        sys.exit(_last_words(everybody, error))
    except (InputError, SystemExit) as error:
        done = isinstance(error, SystemExit) and not error.code
        if not is_first() and not done:
            ending.wait_until_told()
        raise
    except Exception as error:
        errors.record_exception(error)
        raise
    distributed.destroy_process_group()


def together(work: Callable[[], Result]) -> Result:
    """Do something in every process; what is wrong with the input of one is raised in all.

    Args:
        work: What to do.

    Raises:
        InputError: The input cannot be used.
        ProcessLostError: Another process has ended.
    """
    if num_processes() == 1:
        return work()
    from returns import parallel

    result: Result | None = None
    faults: tuple[Fault, ...] = ()
    try:
        result = work()
    except InputError as error:
        faults = error.faults
    for found in parallel.gathered(faults):
        if found:
            raise InputError(found)
    return cast(Result, result)


def by_first(work: Callable[[], Result]) -> Result:
    """Do something in the first process while the others wait; its result in every process.

    Args:
        work: What to do; its result is pickled.

    Raises:
        InputError: The input cannot be used.
        ProcessLostError: Another process has ended.
    """
    if num_processes() == 1:
        return work()
    from returns import parallel

    return cast(Result, parallel.shared(together(lambda: work() if is_first() else None)))


def _last_words(everybody: Sequence[tuple[str, int]], cause: Exception) -> str | int:
    """What a survivor exits with: a message from the first of them, 1 from the others.

    Args:
        everybody: Machine and number in its system of each process.
        cause: How this one noticed.
    """
    here = socket.gethostname()
    own = everybody.index((here, os.getpid()))
    dead = [
        rank
        for rank, (machine, process) in enumerate(everybody)
        if machine == here and not is_alive(process)
    ]
    if not set(range(own)) <= set(dead):
        return 1
    lost = f"rank {dead[0]}" if dead else "one"
    return LOST.format(lost=lost, number=len(everybody), cause=cause)


class _Ending:
    """Ends the process in order when torchrun or the keyboard tells it to.

    torchrun tells the survivors as soon as one process has died. They are mostly at work together
    then, lose the connection and end by themselves, which a signal must not cut short: records
    would stay half-written. Only a process that is at work alone is interrupted, some seconds
    later. Interrupted once, it is not interrupted again while it ends.
    """

    def __init__(self) -> None:
        """Listen from now on, until the process ends."""
        self._told = False
        signal.signal(signal.SIGTERM, self._tell)
        for reason in (signal.SIGINT, signal.SIGALRM):
            signal.signal(reason, self._interrupt)

    def wait_until_told(self) -> None:
        """Wait for torchrun's signal; it has seen by then which process ended first."""
        deadline = time.monotonic() + SECONDS_UNTIL_TOLD
        while not self._told and time.monotonic() < deadline:
            time.sleep(0.05)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self._told = True
        signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_END)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        for reason in (signal.SIGINT, signal.SIGALRM):
            signal.signal(reason, signal.SIG_IGN)
        raise KeyboardInterrupt


def _backend() -> str:
    """NCCL where every process has a GPU of its own; what lies on the CPU goes by gloo."""
    from torch import cuda, distributed

    if not cuda.is_available():
        return "gloo"
    enough = cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    return f"cpu:gloo,cuda:{'nccl' if enough and distributed.is_nccl_available() else 'gloo'}"
