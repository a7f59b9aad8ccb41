"""Requests at times fixed ahead, whether or not the earlier ones are answered.

A latency counts from when its request was due, not from when it could be sent: a service that falls
behind does not slow its clients down and so look faster than it is (coordinated omission).
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ANSWER_S = 30.0
"""Seconds after which a request counts as an error."""


@dataclass(frozen=True)
class Offered:
    """What came of the requests.

    Attributes:
        seconds: From due to answered, float64 `(num_requests,)`; `ANSWER_S` where no answer came.
        status: Of each answer, int64 `(num_requests,)`; 0 where none came.
    """

    seconds: np.ndarray
    status: np.ndarray

    @property
    def errors(self) -> int:
        """Requests that were not answered with 200."""
        return int((self.status != 200).sum())


def offer(host: str, port: int, bodies: Sequence[bytes], rate: float, number: int) -> Offered:
    """Send requests to `/score` at a fixed rate and wait for all answers.

    Args:
        host: Address of the service.
        port: Its port.
        bodies: Taken in turns.
        rate: Requests a second.
        number: Of requests.
    """
    return asyncio.run(_Client(host, port, bodies).offer(rate, number))


class _Client:
    """Keeps connections, one for each request under way: little work beside the service's own."""

    def __init__(self, host: str, port: int, bodies: Sequence[bytes]) -> None:
        self._place = (host, port)
        head = f"POST /score HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        self._requests = [
            f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies
        ]
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def offer(self, rate: float, number: int) -> Offered:
        seconds, status = np.full(number, ANSWER_S), np.zeros(number, dtype=np.int64)
        first = time.perf_counter()

        async def ask(request: int) -> None:
            try:
                async with asyncio.timeout(ANSWER_S):
                    status[request] = await self._answer(request)
            except (OSError, EOFError, ValueError, TimeoutError):
                return
            seconds[request] = time.perf_counter() - (first + request / rate)

        asked = []
        for request in range(number):
            await asyncio.sleep(first + request / rate - time.perf_counter())
            asked.append(asyncio.create_task(ask(request)))
        await asyncio.gather(*asked)
        for _, writer in self._idle:
            writer.close()
        return Offered(seconds, status)

    async def _answer(self, request: int) -> int:
        """Status of the answer to a request.

        Raises:
            OSError, EOFError, ValueError: The connection ends, or the answer is no HTTP.
        """
        reader, writer = await self._connection()
        try:
            writer.write(self._requests[request % len(self._requests)])
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            _, _, rest = head.partition("content-length:")
            await reader.readexactly(int(rest.split("\r\n", 1)[0]))
            status = int(head.split(" ", 2)[1])
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return status

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that is kept, or a new one; the service ends those that were idle long."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(*self._place)
