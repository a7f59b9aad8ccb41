"""Score order lines over HTTP, on this machine.

POST /score takes the order lines of one basket or of many as JSON, in the columns of the source
that the model was trained on, and answers with the probability, the decision and the main reasons
of each. /docs describes every column, /health and /ready tell a supervisor, /metrics tells
Prometheus. Where the model is named by an alias, such as models:/returns@champion, the model that
the alias moves to takes over while requests go on.
"""

import gc
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.command import run_command
from pipelines.home import Home
from pipelines.service.application import application
from pipelines.service.holder import Holder, Watch
from pipelines.service.limits import Limits
from pipelines.service.metrics import Metrics
from pipelines.service.served import load
from pipelines.service.server import listen, log_to_stderr, run

LARGEST_PORT = 65535


@dataclass(frozen=True)
class Arguments:
    """Options of `serve`."""

    model: str
    """MLflow model URI: models:/returns@champion, runs:/RUN_ID/model, models:/m-ID, or a folder."""
    port: int = 8000
    """Port to listen at; 0 for any that is free."""
    host: str = "127.0.0.1"
    """Address to listen at: this machine alone. There is no authentication; see docs/serving.md
    before you open it to others."""
    home: Path = Path("artifacts")
    """Folder of all state: MLflow database and artifacts."""
    look_every_s: float = 10.0
    """Seconds between two looks at where the alias points."""
    most_bytes: int = 1_000_000
    """Bytes of a request; larger ones are refused (413)."""
    most_lines: int = 1000
    """Order lines of a request; more are refused (422)."""
    most_at_once: int = 64
    """Requests under way or waiting; more are refused (429)."""
    threads: int = 1
    """Requests scored at the same time, each by one thread."""
    stop_s: int = 10
    """Seconds that answers under way may take when the service is told to stop."""


def main(arguments: Arguments, console: Console) -> None:
    """Load, listen, serve until told to stop."""
    _check(arguments)
    log_to_stderr()
    tracking.connect(Home.prepare(arguments.home))
    # Requests are small: more threads would only wait for each other.
    torch.set_num_threads(1)
    with listen(arguments.host, arguments.port) as listening:
        limits = Limits(
            most_bytes=arguments.most_bytes,
            most_lines=arguments.most_lines,
            most_at_once=arguments.most_at_once,
            threads=arguments.threads,
        )
        metrics = Metrics()
        holder = Holder(load(arguments.model, limits.most_lines), metrics)
        # What is remembered never becomes garbage: the collector need not walk it.
        gc.collect()
        gc.freeze()
        watch = Watch(holder, limits.most_lines, arguments.look_every_s)
        if watch.is_needed:
            watch.start()
        model = holder.current.model
        version = "" if model.version is None else f", version {model.version}"
        host, port = listening.getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        console.print(
            f"{model.uri}{version} ({model.kind}) serves at http://{address}; "
            f"described at http://{address}/docs",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
        run(application(holder, metrics, limits), listening, arguments.stop_s)
        watch.stop()
    console.print("stopped")


def _check(arguments: Arguments) -> None:
    least = {
        "port": 0,
        "most_bytes": 1,
        "most_lines": 1,
        "most_at_once": 1,
        "threads": 1,
        "stop_s": 0,
        "look_every_s": 0.1,
    }
    faults = []
    for name, smallest in least.items():
        value = getattr(arguments, name)
        if value < smallest:
            option = f"--{name.replace('_', '-')}"
            faults.append(Fault(option, f"{value} is too small", f"Use {smallest} or more"))
    if arguments.port > LARGEST_PORT:
        message = f"{arguments.port} is no port"
        faults.append(Fault("--port", message, f"Use {LARGEST_PORT} or less"))
    if faults:
        raise InputError(faults)


if __name__ == "__main__":
    run_command(Arguments, main, __doc__)
