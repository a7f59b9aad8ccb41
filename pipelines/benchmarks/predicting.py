"""`predict` at two file sizes: portion by portion, against the whole file at once."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
from matplotlib.figure import Figure
from rich.console import Console

from data.dataset import ingest, open_dataset
from data.reporter import SilentReporter
from data.sources.registry import reader
from data.sources.twin import Twin
from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.charts import bars
from pipelines.benchmarks.measurement import CPU, GROWTH, PEAK, WALL, Measurement
from pipelines.benchmarks.measuring import once, resident_gib
from pipelines.home import Home
from pipelines.predict import ROWS_AT_ONCE, score_events
from pipelines.progress import ProgressReporter, progress_display
from pipelines.score_files import score_file
from returns.calibration import Calibration
from returns.memory import Memory
from returns.models.gnn import DEFAULTS
from returns.models.registry import create
from returns.predictor import ReturnPredictor
from returns.preparation import Preparation
from returns.protocol import Protocol

MODELS = ("gnn", "lightgbm")
WARM_UP_ROWS = 1000
TIMES = (1, 4)
"""How often the twin's test events stand in a file."""

PORTIONS, WHOLE = "in portions", "whole file at once"
ROWS, GROWN = "rows per wall s", "peak GiB above the model's"
ROWS_PER_CPU = "rows per CPU s"
RATES = {WALL: ROWS, CPU: ROWS_PER_CPU}
MICROSECONDS, BYTES = "CPU us a row beyond the start", "peak bytes a row beyond the start"


class Predicting:
    """A file of scores from a file of events, as `predict` makes it, model at hand.

    Reading, preparing the past, scoring and writing are timed; `gnn` is one network, as it is for
    many events. The files are the twin's test events
    once and four times over, without node tables; customers and variants are remembered ones.
    """

    name: ClassVar[str] = "predict"
    title: ClassVar[str] = "files of scores (synthetic twin, strict protocol)"
    is_kept: ClassVar[bool] = True

    def parts(self, settings: Settings) -> Sequence[str]:
        """The models."""
        return MODELS

    def measure(self, part: str, settings: Settings) -> Sequence[Measurement]:
        """Fit a model, then score both files in both ways."""
        home = Home.prepare(settings.home)
        source = Twin(settings.scale, settings.seed, home.synthetic)
        predictor = _fitted(part, source, home, settings)
        predictor.score(predictor.memory.last(WARM_UP_ROWS))
        measurements = []
        with tempfile.TemporaryDirectory(dir=home.root) as folder:
            out = Path(folder) / "scores.parquet"
            for times in TIMES:
                events = _repeated(source, times, Path(folder))
                measurements += _measure(predictor, part, events, out, settings.repeats)
        return measurements

    def conclude(self, measurements: Sequence[Measurement]) -> Sequence[Measurement]:
        """What one more row takes: the fixed start, alike at both sizes, falls out."""
        found = {(row.subject, row.contender, row.quantity): row for row in measurements}
        concluded = []
        for model in MODELS:
            subjects = list(dict.fromkeys(s for s, _, _ in found if s.startswith(f"{model},")))
            if len(subjects) < len(TIMES):
                continue
            for way in (PORTIONS, WHOLE):
                small, large = (
                    {
                        quantity: found[subject, way, quantity].spread.median
                        for quantity in (CPU, GROWN, ROWS_PER_CPU)
                    }
                    for subject in subjects
                )
                rows = large[CPU] * large[ROWS_PER_CPU] - small[CPU] * small[ROWS_PER_CPU]
                per_row = {
                    MICROSECONDS: (large[CPU] - small[CPU]) / rows * 1e6,
                    BYTES: (large[GROWN] - small[GROWN]) / rows * 2**30,
                }
                concluded += [
                    Measurement(f"{model}, {way}", GROWTH, quantity, (figure,))
                    for quantity, figure in per_row.items()
                ]
        return concluded

    def figures(self, measurements: Sequence[Measurement]) -> Mapping[str, Figure]:
        """Bars of both ways."""
        return {self.name: bars(measurements, self.title)}


def _fitted(name: str, source: Twin, home: Home, settings: Settings) -> ReturnPredictor:
    dataset, _ = open_dataset(ingest(source, home.datasets, SilentReporter()))
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    train, validation = (preparation.event_set(dataset, each) for each in ("train", "validation"))
    # Left to itself, gnn would be five networks for few events.
    sizes = {"members": 1, **DEFAULTS[True]} if name == "gnn" else {}
    model = create(name, settings.seed, settings.epochs, **sizes)
    model.fit(train, validation, SilentReporter())
    calibration = Calibration.fit(validation.labels, model.predict_proba(validation))
    memory = Memory.of(dataset, Protocol.STRICT)
    return ReturnPredictor(source.name, source.options, preparation, memory, model, calibration)


def _repeated(source: Twin, times: int, folder: Path) -> Path:
    """The twin's test events in one file, so many times one after the other."""
    (events,) = (
        path for path in source.files(SilentReporter()) if path.name == "event_table_testing.csv"
    )
    repeated = folder / f"event_table_{times}.csv"
    with repeated.open("wb") as written:
        for number in range(times):
            with events.open("rb") as read:
                if number:
                    read.readline()
                shutil.copyfileobj(read, written)
    return repeated


def _measure(
    predictor: ReturnPredictor, name: str, events: Path, out: Path, repeats: int
) -> list[Measurement]:
    numbers: dict[str, int] = {}

    def in_portions() -> None:
        with progress_display(Console(quiet=True)) as progress:
            reporter = ProgressReporter(progress)
            scored = score_events(predictor, events, out, ROWS_AT_ONCE, 0, reporter)
        numbers[PORTIONS] = scored.num_scored

    def whole() -> None:
        new = reader(predictor.source, predictor.options).read_new_events(events)
        with score_file(out) as file:
            file.write(predictor.score(new))
        numbers[WHOLE] = file.num_rows

    measured: dict[tuple[str, str], list[float]] = {
        key: [] for key in product((PORTIONS, WHOLE), (WALL, CPU, GROWN))
    }
    for _ in range(repeats):
        for way, work in ((PORTIONS, in_portions), (WHOLE, whole)):
            pa.default_memory_pool().release_unused()
            before = resident_gib()
            for row in once(name, way, work):
                quantity, figure = row.quantity, row.values[0]
                if quantity == PEAK:
                    quantity, figure = GROWN, figure - before
                measured[way, quantity].append(figure)
    found = []
    for (way, quantity), figures in measured.items():
        subject = f"{name}, {numbers[way]:,} rows"
        found.append(Measurement(subject, way, quantity, tuple(figures)))
        if quantity in RATES:
            rates = tuple(numbers[way] / seconds for seconds in figures)
            found.append(Measurement(subject, way, RATES[quantity], rates))
    return found
