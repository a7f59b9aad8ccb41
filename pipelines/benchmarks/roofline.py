"""The least time that arithmetic and memory traffic allow, at rates measured in the same run.

After Williams, Waterman and Patterson (CACM 52(4), 2009).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch

from pipelines.benchmarks.measurement import ROOFLINE, WALL, Measurement

MATRIX_SIZE = 2048
COPIED_FLOATS = 1 << 25
REPEATS = 3


@dataclass(frozen=True)
class Work:
    """What a task cannot do without.

    Attributes:
        flops: Floating point operations of its dense products.
        bytes: Bytes it must read or write.
    """

    flops: float
    bytes: float


@dataclass(frozen=True)
class Machine:
    """Rates that the best code reaches here, with the threads torch has.

    Attributes:
        flops_per_second: Of a product of large float32 matrices.
        bytes_per_second: Read and written by a copy of a large float32 array.
    """

    flops_per_second: float
    bytes_per_second: float

    @classmethod
    def measure(cls) -> Self:
        """Take the best of several products and copies."""
        square = torch.ones(MATRIX_SIZE, MATRIX_SIZE)
        product = torch.empty_like(square)
        source, copy = torch.ones(COPIED_FLOATS), torch.zeros(COPIED_FLOATS)
        return cls(
            2 * MATRIX_SIZE**3 / _least_seconds(lambda: torch.mm(square, square, out=product)),
            2 * source.nbytes / _least_seconds(lambda: copy.copy_(source)),
        )

    def bound(self, work: Work) -> float:
        """Least seconds: arithmetic and traffic can overlap, the longer of them cannot shrink."""
        return max(work.flops / self.flops_per_second, work.bytes / self.bytes_per_second)


def roofline(subject: str, machine: Machine, work: Work) -> list[Measurement]:
    """The least seconds that a task can take, what was counted, and the rates it is divided by."""
    figures = {
        WALL: machine.bound(work),
        "GFLOP": work.flops / 1e9,
        "GB": work.bytes / 1e9,
        "GFLOP/s": machine.flops_per_second / 1e9,
        "GB/s": machine.bytes_per_second / 1e9,
    }
    return [
        Measurement(subject, ROOFLINE, key, (value,)) for key, value in figures.items() if value
    ]


def _least_seconds(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
