"""The process that listens: a socket of its own, signals, and an end without cut-off answers."""

import logging
import socket
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from data.validation import Fault, InputError

MOST_CONNECTIONS = 1000
"""Open connections; beyond them uvicorn itself answers 503."""

KEEP_ALIVE_S = 30
BACKLOG = 256


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Args:
        host: Address or name to listen at.
        port: 0 for any that is free.

    Raises:
        InputError: It cannot be had.
    """
    listening: socket.socket | None = None
    try:
        # Said to be TCP, for asyncio to send answers at once: else the client's delayed
        # acknowledgement holds each back by 40 ms.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        if listening is not None:
            listening.close()
        message = f"cannot listen there ({error})"
        raise InputError([Fault(f"{host}:{port}", message, "Choose another --port")]) from error
    return listening


def run(app: ASGIApp, listening: socket.socket, stop_s: int) -> None:
    """Serve until a signal comes, then finish what is under way.

    Args:
        app: The application.
        listening: Where clients come in.
        stop_s: Seconds that answers under way may take.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=stop_s,
    )
    _Server(config).run(sockets=[listening])


def log_to_stderr() -> None:
    """Log the service's own lines, and only warnings of others."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("pipelines.service").setLevel(logging.INFO)


class _Server(uvicorn.Server):
    """A server for which being told to stop is no failure: uvicorn would raise the signal again."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; at once if told so twice."""
        self.force_exit = self.should_exit
        self.should_exit = True
