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


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], most: int | None = None
) -> Iterator[Result]:
    """Do the same to each item, as many at a time as torch has threads here.

    Where that is one at a time, it computes with all of torch's threads.

    Args:
        work: What to do; touches nothing that the work on an item beside it touches.
        items: Taken one by one, as they are needed.
        most: No item is begun before the one so many places earlier is done; None: however many
            keep the threads busy.

    Yields:
        The results in the order of the items; few wait to be taken.
    """
    wanted = torch.get_num_threads()
    threads = wanted if most is None else min(wanted, most)
    waiting = threads + 1 if most is None else min(threads + 1, most)
    if threads == 1:
        yield from map(work, items)
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) == waiting:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
            # Set in the pool for its own threads, torch would hand it on to every later thread.
            torch.set_num_threads(wanted)
