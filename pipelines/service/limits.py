"""What one client may ask of the service, so that the others are still answered."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import HTTPException, Request

BODY_S = 10.0
"""Seconds that a request's body may take to arrive."""

RETRY_AFTER_S = 1


@dataclass(frozen=True)
class Limits:
    """Limits of the service.

    Attributes:
        most_bytes: Of a request's body.
        most_lines: Order lines of a request.
        most_at_once: Requests to score that are under way or wait.
        threads: Requests scored at the same time.
    """

    most_bytes: int = 1_000_000
    most_lines: int = 1000
    most_at_once: int = 64
    threads: int = 1


class Slots:
    """Places of requests under way; who finds none is sent away at once."""

    def __init__(self, number: int) -> None:
        """Make so many places."""
        self._free = number

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a place for the block.

        Raises:
            HTTPException: 429, there is none.
        """
        if self._free == 0:
            raise HTTPException(
                429, "too many requests at once", {"Retry-After": str(RETRY_AFTER_S)}
            )
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


async def json_body(request: Request, most_bytes: int) -> bytes:
    """The body of a request, of which no more is read than is allowed.

    Args:
        request: The request.
        most_bytes: Bytes of the body at most.

    Raises:
        HTTPException: 415, it is not said to be JSON, or is compressed; 413, it is larger; 408, it
            does not arrive in time.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or "content-encoding" in request.headers:
        raise HTTPException(415, "send uncompressed JSON as application/json")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most_bytes:
        raise _too_large(most_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    raise _too_large(most_bytes)
    except TimeoutError:
        raise HTTPException(408, "the body did not arrive in time") from None
    return bytes(body)


def _too_large(most_bytes: int) -> HTTPException:
    return HTTPException(413, f"a request may have {most_bytes} bytes", {"Connection": "close"})
