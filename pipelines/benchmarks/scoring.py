"""Fitting and scoring with every default model at the release's size."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from matplotlib.figure import Figure

from data.dataset import Dataset, ingest, open_dataset
from data.reporter import SilentReporter
from data.sources.twin import Twin
from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.charts import bars
from pipelines.benchmarks.measurement import PEAK, WALL, Measurement
from pipelines.benchmarks.measuring import once, peak_gib, times_in_turns
from pipelines.home import Home
from pipelines.model_arguments import DEFAULT_MODELS
from returns.models.base import ReturnClassifier
from returns.models.registry import create
from returns.preparation import Preparation
from returns.protocol import Protocol

RECOMMENDED = "gnn"
"""The model that the others are compared with."""

FIT, SCORE = "fit, to the best validation loss", "score the test events"
RATE = "events per s"


class Scoring:
    """Each default model on the synthetic twin under the strict protocol.

    `fit` is the training of the model from prepared event sets, validation included. `score` takes
    the prepared test events to probabilities, with graph and neighbours where the model has them.
    Memory is all that the process holds at most, data included.
    """

    name: ClassVar[str] = "scoring"
    title: ClassVar[str] = "default models (synthetic twin, strict protocol)"
    is_kept: ClassVar[bool] = True

    def parts(self, settings: Settings) -> Sequence[str]:
        """The models, the recommended one first."""
        return [RECOMMENDED, *(name for name in DEFAULT_MODELS if name != RECOMMENDED)]

    def measure(self, part: str, settings: Settings) -> Sequence[Measurement]:
        """Fit a model, then score the test events repeatedly."""
        home = Home.prepare(settings.home)
        source = Twin(settings.scale, settings.seed, home.synthetic)
        dataset, _ = open_dataset(ingest(source, home.datasets, SilentReporter()))
        preparation = Preparation.fit(dataset, Protocol.STRICT)
        model = create(part, settings.seed, settings.epochs)
        fitting = _fit(model, dataset, preparation)
        test = preparation.event_set(dataset, "test")
        scoring = times_in_turns(SCORE, {part: lambda: model.predict_proba(test)}, settings.repeats)
        peak = peak_gib(lambda: model.predict_proba(test))
        wall = next(row for row in scoring if row.quantity == WALL)
        rates = tuple(len(test) / seconds for seconds in wall.values)
        return [
            *fitting,
            *scoring,
            Measurement(SCORE, part, PEAK, (peak,)),
            Measurement(SCORE, part, RATE, rates),
        ]

    def conclude(self, measurements: Sequence[Measurement]) -> Sequence[Measurement]:
        """Nothing more."""
        return []

    def figures(self, measurements: Sequence[Measurement]) -> Mapping[str, Figure]:
        """Bars of all models."""
        return {self.name: bars(measurements, self.title)}


def _fit(model: ReturnClassifier, dataset: Dataset, preparation: Preparation) -> list[Measurement]:
    """Fit a model; the events it learned from are freed before it scores."""
    train = preparation.event_set(dataset, "train")
    validation = preparation.event_set(dataset, "validation")
    return once(FIT, model.name, lambda: model.fit(train, validation, SilentReporter()))
