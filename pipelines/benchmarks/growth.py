"""How time and memory grow with the number of events, from tables to scores."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure

from data.dataset import ingest, open_dataset
from data.reporter import SilentReporter
from data.sources.twin import Twin
from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.charts import growth_lines
from pipelines.benchmarks.measurement import GROWTH, PEAK, WALL, Measurement
from pipelines.benchmarks.measuring import once
from pipelines.home import Home
from returns.models.gnn import DEFAULTS
from returns.models.registry import create
from returns.preparation import Preparation
from returns.protocol import Protocol

FACTORS = (0.1, 0.3, 1.0, 3.0)
"""Sizes that are measured, relative to `--scale`."""

INGEST, FEATURES, GRAPH, EPOCH, SCORE = STAGES = (
    *("ingest", "features of all events", "graphs of training"),
    *("one epoch of gnn", "score the test events by gnn"),
)
SIZE, EVENTS = "size", "events"
EXPONENT = "exponent of {}"
"""Power of the number of events by which a quantity grows; 1 is linear."""


class Growth:
    """Every stage at four sizes of the synthetic twin, under the strict protocol.

    One epoch is a fit with one epoch, its preparation and validation included. Memory is all that
    the process holds at most: `ingest` has a process of its own, the other stages share one, as in
    training.
    """

    name: ClassVar[str] = "growth"
    title: ClassVar[str] = "growth with the number of events (synthetic twin, strict protocol)"
    is_kept: ClassVar[bool] = True

    def parts(self, settings: Settings) -> Sequence[str]:
        """Ingest, then the stages of learning, at each size."""
        return [
            f"{what} at scale {factor * settings.scale:g}"
            for factor in FACTORS
            for what in ("ingest", "learn")
        ]

    def measure(self, part: str, settings: Settings) -> Sequence[Measurement]:
        """Measure the stages of a part."""
        what, _, scale = part.partition(" at ")
        home = Home.prepare(settings.home)
        source = Twin(float(scale.removeprefix("scale ")), settings.seed, home.synthetic)
        if what == "ingest":
            return _ingest(source, home, scale)
        return _learn(source, home, scale, settings)

    def conclude(self, measurements: Sequence[Measurement]) -> Sequence[Measurement]:
        """The exponent of each stage, a line fitted to the logarithms by least squares."""
        return [
            Measurement(stage, GROWTH, EXPONENT.format(quantity), (_exponent(points),))
            for stage in STAGES
            for quantity in (WALL, PEAK)
            if len(points := _points(measurements, stage, quantity)) > 1
        ]

    def figures(self, measurements: Sequence[Measurement]) -> Mapping[str, Figure]:
        """Time and memory of each stage against the number of events."""
        figures = {}
        for name, quantity in (("growth_time", WALL), ("growth_memory", PEAK)):
            points = {stage: _points(measurements, stage, quantity) for stage in STAGES}
            # One size makes no line.
            lines = {
                stage: (of_stage, _exponent(of_stage))
                for stage, of_stage in points.items()
                if len(of_stage) > 1
            }
            if lines:
                figures[name] = growth_lines(lines, quantity)
        return figures


def _ingest(source: Twin, home: Home, scale: str) -> list[Measurement]:
    # Generated before the clock starts, and ingested into a folder where nothing is yet.
    source.files(SilentReporter())
    with tempfile.TemporaryDirectory(dir=home.root) as temporary:
        return once(INGEST, scale, lambda: ingest(source, Path(temporary), SilentReporter()))


def _learn(source: Twin, home: Home, scale: str, settings: Settings) -> list[Measurement]:
    dataset, manifest = open_dataset(ingest(source, home.datasets, SilentReporter()))
    sets = {}

    def prepare() -> None:
        preparation = Preparation.fit(dataset, Protocol.STRICT)
        for split in ("train", "validation", "test"):
            sets[split] = preparation.event_set(dataset, split)

    measurements = [Measurement(SIZE, scale, EVENTS, (manifest.counts["events"],))]
    measurements += once(FEATURES, scale, prepare)
    # Left to itself, the model would be another one for few events.
    model = create("gnn", settings.seed, epochs=1, members=1, **DEFAULTS[True])
    stages = {
        GRAPH: lambda: sets["train"].build_graphs(),
        EPOCH: lambda: model.fit(sets["train"], sets["validation"], SilentReporter()),
        SCORE: lambda: model.predict_proba(sets["test"]),
    }
    for stage, work in stages.items():
        measurements += once(stage, scale, work)
    return measurements


def _points(
    measurements: Sequence[Measurement], stage: str, quantity: str
) -> list[tuple[float, float]]:
    """Number of events and the stage's figure at each size."""
    found = {(row.subject, row.contender, row.quantity): row.spread.median for row in measurements}
    sizes = [row.contender for row in measurements if row.subject == SIZE]
    return [
        (found[SIZE, size, EVENTS], found[stage, size, quantity])
        for size in sizes
        if (stage, size, quantity) in found
    ]


def _exponent(points: Sequence[tuple[float, float]]) -> float:
    size, figure = np.log(np.array(points)).T
    slope, _ = np.polyfit(size, figure, 1)
    return float(slope)
