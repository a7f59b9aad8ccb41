"""The graph network trained by two processes of one thread each, and by one."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from matplotlib.figure import Figure

from data.dataset import ingest, open_dataset
from data.reporter import SilentReporter
from data.sources.twin import Twin
from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.charts import bars
from pipelines.benchmarks.measurement import CPU, WALL, Measurement
from pipelines.benchmarks.numerical_threads import THREAD_VARIABLES
from pipelines.home import Home
from pipelines.processes import is_first, joined
from returns import parallel
from returns.models.registry import create
from returns.preparation import Preparation
from returns.protocol import Protocol

MODEL = "gnn"
CONTENDERS = {"two processes": 2, "one process": 1}
FIT = "fit, to the best validation loss"
LOSS = "validation cross-entropy"


class SeveralProcesses:
    """Data-parallel training on the synthetic twin, the processes started by torchrun.

    Timed from when all processes have prepared their event sets to when all have fitted. Every
    process has one thread, whatever the settings say, and all share the machine's cores.
    """

    name: ClassVar[str] = "several_processes"
    title: ClassVar[str] = f"{MODEL} in processes of one thread each (synthetic twin, strict)"
    is_kept: ClassVar[bool] = True

    def parts(self, settings: Settings) -> Sequence[str]:
        """All in one: the contenders take turns."""
        return [FIT]

    def measure(self, part: str, settings: Settings) -> Sequence[Measurement]:
        """Fit with two processes and with one, in turns."""
        home = Home.prepare(settings.home)
        source = Twin(settings.scale, settings.seed, home.synthetic)
        folder = ingest(source, home.datasets, SilentReporter())
        fits: dict[str, list[Mapping[str, float]]] = {name: [] for name in CONTENDERS}
        for _ in range(settings.repeats):
            for name, number in CONTENDERS.items():
                fits[name].append(_fitted_by(number, folder, settings))
        return [
            Measurement(FIT, name, quantity, tuple(fit[quantity] for fit in of_name))
            for name, of_name in fits.items()
            for quantity in (WALL, CPU, LOSS)
        ]

    def conclude(self, measurements: Sequence[Measurement]) -> Sequence[Measurement]:
        """Nothing more."""
        return []

    def figures(self, measurements: Sequence[Measurement]) -> Mapping[str, Figure]:
        """Bars of both."""
        return {self.name: bars(measurements, self.title)}


def _fitted_by(number: int, folder: Path, settings: Settings) -> Mapping[str, float]:
    """What so many processes took to fit the model, as the first of them measured it."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    plain = {**asdict(settings), "home": str(settings.home)}
    with tempfile.TemporaryDirectory() as temporary:
        answer = Path(temporary) / "fitted.json"
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        worker = ["-m", __name__, str(answer), str(folder), json.dumps(plain)]
        subprocess.run(
            [*launcher, "--nproc-per-node", str(number), *worker], env=environment, check=True
        )
        fitted: Mapping[str, float] = json.loads(answer.read_text())
    return fitted


class _Losses(SilentReporter):
    """Keeps the validation losses that a model reports."""

    def __init__(self) -> None:
        self.best = float("inf")

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Keep the least so far."""
        self.best = min(self.best, values.get("validation_cross_entropy", self.best))


def main() -> None:
    """Fit in this process, together with the others; the first writes down what it took."""
    answer, folder, settings = sys.argv[1:]
    asked = json.loads(settings)
    with joined():
        dataset, _ = open_dataset(Path(folder))
        preparation = Preparation.fit(dataset, Protocol.STRICT)
        train = preparation.event_set(dataset, "train")
        validation = preparation.event_set(dataset, "validation")
        model, losses = create(MODEL, asked["seed"], asked["epochs"]), _Losses()
        parallel.gathered(None)
        wall, cpu = time.perf_counter(), time.process_time()
        model.fit(train, validation, losses)
        everybody = sum(parallel.gathered(time.process_time() - cpu))
        if is_first():
            found = {WALL: time.perf_counter() - wall, CPU: everybody, LOSS: losses.best}
            Path(answer).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
