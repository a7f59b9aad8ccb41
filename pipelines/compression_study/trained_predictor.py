"""A logged predictor with the events that it learned from, was chosen by, and is tested on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data.dataset import Dataset, open_dataset
from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.held_out import prepared_test
from pipelines.home import Home
from pipelines.model_origin import ModelOrigin, origin_of
from pipelines.progress import ProgressReporter
from returns.event_set import EventSet
from returns.knowledge import LEARNING, EventArrays
from returns.models.prunable import Prunable
from returns.predictor import ReturnPredictor

UNSET = (None, "None")
"""How MLflow gives back a parameter that was not given."""


@dataclass(frozen=True)
class TestEvents:
    """Labelled events of the test split.

    Attributes:
        events: All events of the split, prepared as training scores them.
        labelled: Which of them are labelled, bool `(num_test,)`.
        labels: Of the labelled ones, 0 or 1.
        customers: Customer index of each of the labelled ones.
    """

    __test__ = False  # no test case, whatever pytest thinks of the name

    events: EventSet
    labelled: np.ndarray
    labels: np.ndarray
    customers: np.ndarray


@dataclass(frozen=True)
class TrainedPredictor:
    """A predictor that can be pruned, and its data.

    Attributes:
        uri: Of the logged model.
        predictor: As it was logged.
        model: Its classifier.
        origin: What the logged model tells of its making.
        learning: Events that the networks learned from, heard and masked as they were then.
        validation: Events that choices are made on.
        test: Events that nothing is chosen on.
        learned_validation: Whether the networks learned from the validation events too, once these
            had chosen everything; then they can calibrate nothing any more.
    """

    uri: str
    predictor: ReturnPredictor
    model: Prunable
    origin: ModelOrigin
    learning: EventSet
    validation: EventSet
    test: TestEvents
    learned_validation: bool

    @property
    def name(self) -> str:
        """Name of the classifier, as on the command line."""
        return self.predictor.model.name

    @property
    def has_costs(self) -> bool:
        """Whether the threshold follows from costs and not from the validation events."""
        return self.origin.parameters.get("costs") not in UNSET


def open_predictor(uri: str, home: Home, reporter: ProgressReporter) -> TrainedPredictor:
    """Load a predictor and prepare its events by its own preparation.

    Args:
        uri: MLflow model URI of a `gnn` or `mlp` that `train` logged.
        home: Where the dataset lies that it was trained on.
        reporter: Told of progress.

    Raises:
        InputError: There is no such model, it is no network, or its dataset is not here.
    """
    predictor = tracking.load_predictor(uri)
    if not isinstance(predictor.model, Prunable):
        message = f"the model '{predictor.model.name}' has no network to prune"
        raise InputError([Fault(uri, message, "Name a model 'gnn' or 'mlp'")])
    origin = origin_of(uri)
    dataset = _dataset_of(uri, predictor, origin.metadata, home)
    refit = origin.parameters.get("refit")
    learned_validation = dataset.is_dated if refit in UNSET else refit == "True"
    prepare = predictor.preparation.event_set
    reporter.progress("prepare", 0, 3)
    learning = prepare(dataset, LEARNING if learned_validation else "train")
    reporter.progress("prepare", 1, 3)
    validation = prepare(dataset, "validation")
    reporter.progress("prepare", 2, 3)
    test = _test_events(dataset, predictor)
    reporter.progress("prepare", 3, 3)
    return TrainedPredictor(
        uri=uri,
        predictor=predictor,
        model=predictor.model,
        origin=origin,
        learning=learning,
        validation=validation,
        test=test,
        learned_validation=learned_validation,
    )


def _dataset_of(
    uri: str, predictor: ReturnPredictor, metadata: Mapping[str, str], home: Home
) -> Dataset:
    digest = metadata.get("dataset_digest")
    if digest is None:
        message = "the model does not tell which dataset it was trained on"
        raise InputError([Fault(uri, message, "Name a model that `train` logged")])
    folder = home.datasets / f"{predictor.source}-{digest[:12]}"
    if not folder.exists():
        message = "the dataset that the model was trained on is not there"
        remedy = (
            f"Ingest source {predictor.source} again or name its folder with --home; where files "
            "or program have changed since, train again"
        )
        raise InputError([Fault(str(folder), message, remedy)])
    return open_dataset(folder)[0]


def _test_events(dataset: Dataset, predictor: ReturnPredictor) -> TestEvents:
    """The test split as training scores it."""
    arrays, rows = EventArrays.of(dataset), np.flatnonzero(dataset.split_mask("test"))
    labelled = arrays.returned[rows] >= 0
    return TestEvents(
        events=prepared_test(dataset, predictor.preparation, predictor.memory),
        labelled=labelled,
        labels=arrays.returned[rows][labelled],
        customers=arrays.customer[rows][labelled],
    )
