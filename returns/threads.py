"""Independent pieces of work, several at a time.

Torch and numpy let go of the interpreter's lock while they compute, so threads keep all cores busy;
each piece then computes with one thread of torch's own, and its result does not depend on how many
pieces are worked on beside it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Do the same to each item, as many at a time as torch has threads here.

    Args:
        work: What to do; touches nothing that another item's work touches.
        items: Taken one by one, as they are needed.

    Yields:
        The results in the order of the items; few wait to be taken.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield from map(work, items)
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
            # Set in the pool for its own threads, torch would hand it on to every later thread.
            torch.set_num_threads(threads)
