"""Latency of the HTTP service under a steady load, the client on the same cores."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from urllib.request import urlopen

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from prometheus_client.parser import text_string_to_metric_families

from data.reporter import SilentReporter
from data.sources.twin import Twin
from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.charts import bars
from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.open_loop import offer
from pipelines.home import Home

MODELS = ("gnn", "lightgbm")
RATES = (20, 50)
"""Requests a second."""

LINES = 5
"""Order lines of a request, all of one customer."""

SECONDS = 12
"""That each rate is offered for, times the repeats of the settings."""

WARM_UP = 20
"""Requests before what is measured."""

LARGEST_SCALE = 0.02
"""Of the twin: how long a request takes hardly depends on how much is remembered."""

MEDIAN, P95, P99, WORST = "median ms", "p95 ms", "p99 ms", "worst ms"
ANSWERED = "share answered with 200"
SERVER_CPU = "server's CPU ms per request"
STARTED = re.compile(r"serves at http://([\d.]+):(\d+);")


class Serving:
    """A service of each model, in a process of its own, under baskets of order lines.

    Requests come at times fixed ahead, and latencies count from then. All processes share the cores
    that the settings give. The models are fitted on the synthetic twin, by `train`.
    """

    name: ClassVar[str] = "serving"
    title: ClassVar[str] = f"baskets of {LINES} order lines over HTTP (synthetic twin, strict)"
    is_kept: ClassVar[bool] = True

    def parts(self, settings: Settings) -> Sequence[str]:
        """Each model at each rate."""
        return [_part(model, rate) for model in MODELS for rate in RATES]

    def measure(self, part: str, settings: Settings) -> Sequence[Measurement]:
        """Fit a model, serve it, offer requests, ask the service for its CPU time."""
        model, rate = next(
            (model, rate) for model in MODELS for rate in RATES if _part(model, rate) == part
        )
        number = rate * SECONDS * settings.repeats
        bodies = bodies_of(settings)
        with tempfile.TemporaryDirectory() as temporary:
            home = Path(temporary)
            _train(model, settings, home)
            with service(home) as (host, port):
                offer(host, port, bodies, rate, WARM_UP)
                before = cpu_seconds(host, port)
                offered = offer(host, port, bodies, rate, number)
                after = cpu_seconds(host, port)
        subject = f"{rate} requests a second for {SECONDS * settings.repeats} s"
        figures = dict(
            zip(
                (MEDIAN, P95, P99, WORST),
                1e3 * np.quantile(offered.seconds, [0.5, 0.95, 0.99, 1.0]),
                strict=True,
            )
        )
        figures[ANSWERED] = 1 - offered.errors / number
        if before is not None and after is not None:
            figures[SERVER_CPU] = 1e3 * (after - before) / number
        return [
            Measurement(subject, model, quantity, (float(figure),))
            for quantity, figure in figures.items()
        ]

    def conclude(self, measurements: Sequence[Measurement]) -> Sequence[Measurement]:
        """Nothing more."""
        return []

    def figures(self, measurements: Sequence[Measurement]) -> Mapping[str, Figure]:
        """Bars of both models at each rate."""
        return {self.name: bars(measurements, self.title)}


def _part(model: str, rate: int) -> str:
    return f"{model} at {rate} requests a second"


def _scale(settings: Settings) -> float:
    return min(settings.scale, LARGEST_SCALE)


def bodies_of(settings: Settings) -> list[bytes]:
    """Requests made of the twin's test events, each of one customer."""
    source = Twin(_scale(settings), settings.seed, Home.prepare(settings.home).synthetic)
    files = {path.name: path for path in source.files(SilentReporter())}
    events = pd.read_csv(files["event_table_testing.csv"])
    keys = ["hash(customerId)", "hash(variantID)"]
    baskets = (basket.head(LINES) for _, basket in events[keys].groupby(keys[0]))
    return [
        json.dumps({"lines": basket.to_dict("records")}).encode()
        for basket in baskets
        if len(basket) == LINES
    ]


def _train(model: str, settings: Settings, home: Path) -> None:
    """Fit and register a model; one epoch unless the settings say otherwise: it serves as fast."""
    words = {
        "--scale": _scale(settings),
        "--seed": settings.seed,
        "--epochs": settings.epochs or 1,
        "--home": home,
        "--models": model,
    }
    options = [str(word) for pair in words.items() for word in pair]
    command = [sys.executable, "-m", "pipelines.train", *options, "--register"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def service(home: Path) -> Iterator[tuple[str, int]]:
    """A service of the registered model on a port that is free: its host and port."""
    command = [sys.executable, "-m", "pipelines.serve", "--model", "models:/returns@champion"]
    command += ["--port", "0", "--home", str(home)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with (home / "service.log").open("w") as log:
        running = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
    try:
        assert running.stdout is not None
        said = STARTED.search(running.stdout.readline())
        if said is None:
            raise RuntimeError(f"the service did not start: {(home / 'service.log').read_text()}")
        yield said.group(1), int(said.group(2))
    finally:
        running.terminate()
        running.wait()


def cpu_seconds(host: str, port: int) -> float | None:
    """CPU time of the service so far; None where the system does not tell (not Linux)."""
    with urlopen(f"http://{host}:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "process_cpu_seconds_total":
                return float(sample.value)
    return None
