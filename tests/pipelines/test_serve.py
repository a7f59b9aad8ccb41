"""The service as a process: it listens, changes models, and ends well."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pandas as pd
import pytest
from mlflow import MlflowClient

from pipelines import registry, serve, tracking
from pipelines.home import Home
from pipelines.service.server import listen

MODEL = "models:/returns@champion"


@pytest.fixture(scope="module")
def home(trained_home, tmp_path_factory) -> Home:
    """A registry of its own; the files are shared."""
    folder = tmp_path_factory.mktemp("serving")
    shutil.copy(trained_home.folder / "mlflow.db", folder / "mlflow.db")
    return Home.prepare(folder)


@pytest.fixture(scope="module")
def process(home) -> Iterator[tuple[subprocess.Popen, str]]:
    """A running service and its address."""
    command = [sys.executable, "-m", "pipelines.serve", "--model", MODEL, "--port", "0"]
    command += ["--home", str(home.root), "--look-every-s", "0.2"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = running.stdout.readline()
        found = re.search(r"serves at (http://127\.0\.0\.1:\d+);", said)
        assert found, said + running.stderr.read()
        yield running, found.group(1)
    finally:
        running.kill()
        running.wait()


@pytest.fixture(scope="module")
def body(trained_home) -> dict:
    row = pd.read_csv(trained_home.orders).iloc[-1]
    line = {
        "order_date": "2013-01-05",
        "item_price": float(row["item_price"]),
        "item_color": row["item_color"],
    }
    line |= {name: int(row[name]) for name in ("item_id", "user_id", "brand_id")}
    return {"lines": [line, {**line, "user_id": 777_777, "item_id": 888_888}]}


@contextmanager
def begun(address: str, body: bytes) -> Iterator[tuple[socket.socket, bytes]]:
    """A request of which half is sent, and its other half."""
    host, port = address.removeprefix("http://").split(":")
    head = f"POST /score HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    middle = len(body) // 2
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode() + body[:middle])
        time.sleep(0.2)
        yield connection, body[middle:]


def test_it_serves_changes_models_under_requests_and_stops_well(process, home, body):
    running, address = process
    with httpx2.Client(base_url=address, timeout=30) as client:
        answer = client.post("/score", json=body)
        assert answer.status_code == 200
        assert answer.json()["model"]["version"] == "1"
        scores = [line["probability"] for line in answer.json()["lines"]]

        tracking.connect(home)
        champion = registry.version_of(registry.CHAMPION)
        predictor = registry.verify(champion)
        uri = f"runs:/{champion.run_id}/model"
        second = registry.register(uri, predictor, {}, "")
        MlflowClient().set_registered_model_alias("returns", "champion", second.number)
        versions = []
        while "2" not in versions[-20:]:
            answer = client.post("/score", json=body)
            assert answer.status_code == 200
            assert [line["probability"] for line in answer.json()["lines"]] == scores
            versions.append(answer.json()["model"]["version"])
        assert versions == sorted(versions)
        assert client.get("/ready").json()["model"]["version"] == "2"

    with begun(address, json.dumps(body).encode()) as (connection, rest):
        running.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{address}/health")
        connection.sendall(rest)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert running.wait(30) == 0
    assert "stopped" in running.stdout.read()
    errors = running.stderr.read()
    assert "Traceback" not in errors
    assert "POST /score 200" in errors


def test_answers_are_sent_at_once():
    """Without it, a client that acknowledges late waits 40 ms for each answer."""
    with listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_bad_input_exits_with_2(run, home):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        cases = {
            f"127.0.0.1:{port}": ("--model", MODEL, "--port", port),
            "99999": ("--model", MODEL, "--port", 99999),
            "returns@nobody": ("--model", "models:/returns@nobody", "--port", 0),
            "--most-lines": ("--model", MODEL, "--most-lines", 0, "--look-every-s", 0),
        }
        for says, words in cases.items():
            ended = run(serve, "--home", home.root, *words)
            assert ended.code == 2, (says, ended.errors)
            assert says in ended.errors.replace("\n", "")
            assert "Traceback" not in ended.errors
