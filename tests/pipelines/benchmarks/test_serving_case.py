"""The load of the serving case: times fixed ahead, latencies from when a request was due."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from pipelines.benchmarks.open_loop import ANSWER_S, offer
from pipelines.benchmarks.serving import LINES, MODELS, RATES, Serving, bodies_of, cpu_seconds
from pipelines.benchmarks.serving import service as served
from pipelines.service.server import listen


@contextmanager
def service(
    answer: Callable[[bytes], bytes], seconds: float = 0.0, hangs_up: bool = False
) -> Iterator[int]:
    """A server that answers one request after the other, each after some time; its port."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    ports, turn = [], asyncio.Lock()

    async def talk(reader, writer):
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            async with turn:
                await asyncio.sleep(seconds)
            if not (said := answer(body)):
                break
            writer.write(said)
            if hangs_up:
                break
        writer.close()

    async def serve():
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(serve()), loop.run_forever()))
    thread.start()
    assert started.wait(10)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def said(status: int) -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}".encode()


def test_latencies_count_from_when_a_request_was_due():
    """A service that takes 50 ms for each falls behind at one request every 10 ms."""
    with service(lambda body: said(200), seconds=0.05) as port:
        offered = offer("127.0.0.1", port, [b"{}"], rate=100, number=12)
    assert offered.errors == 0
    least = 0.05 * np.arange(1, 13) - 0.01 * np.arange(12)
    assert (np.sort(offered.seconds) >= least - 0.005).all()


def test_bodies_are_sent_in_turns_whole():
    heard = []
    with service(lambda body: heard.append(body) or said(200)) as port:
        offer("127.0.0.1", port, [b"[1]", b"[22]"], rate=200, number=6)
    assert sorted(heard) == sorted(3 * [b"[1]", b"[22]"])


@pytest.mark.parametrize("answer", [said(503), b"", b"no HTTP\r\n\r\n"])
def test_whatever_is_no_200_is_an_error(answer):
    with service(lambda body: answer if body == b"[2]" else said(200)) as port:
        offered = offer("127.0.0.1", port, [b"[1]", b"[2]"], rate=200, number=10)
    assert offered.errors == 5
    lost = offered.status == 0
    assert (offered.seconds[lost] == ANSWER_S).all()
    assert (offered.seconds[~lost] < ANSWER_S).all()


def test_a_connection_that_was_ended_after_its_answer_is_not_used_again():
    with service(lambda body: said(200), hangs_up=True) as port:
        assert offer("127.0.0.1", port, [b"{}"], rate=20, number=6).errors == 0


def test_nobody_there_is_an_error():
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
    assert offer("127.0.0.1", port, [b"{}"], rate=200, number=3).errors == 3


def test_requests_are_baskets_of_one_customer(settings):
    bodies = [json.loads(body)["lines"] for body in bodies_of(settings)]
    assert len(bodies) > 5
    assert {len(lines) for lines in bodies} == {LINES}
    assert all(len({line["hash(customerId)"] for line in lines}) == 1 for lines in bodies)
    assert len(Serving().parts(settings)) == len(MODELS) * len(RATES)


def test_the_real_service_answers_and_tells_its_cpu_time(trained_home):
    line = {"order_date": "2013-01-05", "item_id": 3, "user_id": 5, "item_price": 20.0}
    body = json.dumps({"lines": LINES * [line]}).encode()
    with served(trained_home.folder) as (host, port):
        before = cpu_seconds(host, port)
        offered = offer(host, port, [body, b"{"], rate=20, number=10)
        assert before is None or cpu_seconds(host, port) > before
    assert sorted(offered.status.tolist()) == 5 * [200] + 5 * [422]
