"""Work that only one process of a home may do at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.validation import Fault, InputError


class BusyError(InputError):
    """Another process holds the lock."""


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a lock while the block runs; it ends with the process, however that ends.

    Args:
        lock: File of the lock, in an existing folder; it is left behind, empty.

    Raises:
        BusyError: Another process holds it.
    """
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = "another process is at this work"
            remedy = "Wait until it ends, or name another folder with --home"
            raise BusyError([Fault(str(lock), message, remedy)]) from error
        yield
