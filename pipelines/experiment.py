"""One comparison: every model trained, calibrated and evaluated on the same event sets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc

from data.dataset import Dataset
from data.schema import Role, columns_with_role
from pipelines.held_out import prepared_test
from pipelines.progress import ProgressReporter
from pipelines.resources import Usage, measured
from pipelines.source_arguments import described
from returns.calibration import Calibration
from returns.columns import event_columns
from returns.costs import Costs
from returns.evaluation import Report, evaluate
from returns.event_set import EventSet
from returns.knowledge import LEARNING, EventArrays, known_labels
from returns.memory import Memory
from returns.models.registry import create
from returns.predictor import ReturnPredictor
from returns.preparation import Preparation
from returns.protocol import Protocol

MOST_GROUPS = 32
"""Attributes of more levels than this are no slices of the report."""


@dataclass(frozen=True)
class Fitted:
    """A trained and calibrated model with its probabilities, not yet measured.

    Attributes:
        predictor: The model, ready to score raw events.
        validation: Calibrated probability of each labelled validation event, float64
            `(num_validation,)`, as the model gave it before it learned from validation too.
        test: Calibrated probability of each test event, float64 `(num_test,)`.
        fitting: Time and memory of fitting, refitting included.
        scoring: Time and memory of scoring the test split.
    """

    predictor: ReturnPredictor
    validation: np.ndarray
    test: np.ndarray
    fitting: Usage
    scoring: Usage


@dataclass(frozen=True)
class Outcome:
    """A trained model and what it achieved.

    Attributes:
        predictor: The model, ready to score raw events.
        hyperparameters: Of the model.
        validation: Report on the validation split.
        test: Report on the test split, all labelled events.
        resolved: Report on the test events whose customer and variant rows are both there; None
            where every event's are.
        probability: Of each test event, float64 `(num_test,)`.
        fitting: Time and memory of fitting, refitting included.
        scoring: Time and memory of scoring the test split.
    """

    predictor: ReturnPredictor
    hyperparameters: Mapping[str, Any]
    validation: Report
    test: Report
    resolved: Report | None
    probability: np.ndarray
    fitting: Usage
    scoring: Usage

    @property
    def validation_loss(self) -> float:
        """Cross-entropy on the validation split, by which models are chosen."""
        return self.validation.overall.metrics["cross_entropy"].value


class Experiment:
    """A dataset under a protocol, prepared once for all models."""

    def __init__(
        self,
        dataset: Dataset,
        protocol: Protocol,
        source: str,
        options: Mapping[str, Any],
        true_probability: np.ndarray | None,
        label_delay_days: int,
        refit: bool,
        seed: int,
        reporter: ProgressReporter,
        costs: Costs | None = None,
    ) -> None:
        """Prepare the event sets.

        Args:
            dataset: All events and node rows.
            protocol: Strict or paper.
            source: Name of the dataset's source.
            options: Options of the source.
            true_probability: Of every event, if the source is synthetic; for evaluation alone.
            label_delay_days: Days after the order until its label is known (dated data).
            refit: Whether a model, once validation has chosen all there is to choose, learns anew
                from training and validation events together before it is tested and kept.
            seed: Of the models and the bootstrap.
            reporter: Told of progress.
            costs: What an intervention costs and saves; the threshold of least cost takes the
                place of the one of largest F1.
        """
        self._dataset = dataset
        self.costs = costs
        self.protocol, self.source = protocol, source
        self._options = options
        self._seed = seed
        self._events = EventArrays.of(dataset)
        self._test = np.flatnonzero(dataset.split_mask("test"))
        # Only labelled validation events are learned from and scored.
        labelled = self._events.returned >= 0
        self._validation = np.flatnonzero(dataset.split_mask("validation") & labelled)
        self._true_probability = true_probability
        reporter.progress("prepare", 0, 4)
        self.preparation = Preparation.fit(dataset, protocol, label_delay_days)
        reporter.progress("prepare", 1, 4)
        self.train = self.preparation.event_set(dataset, "train")
        reporter.progress("prepare", 2, 4)
        self.validation = self.preparation.event_set(dataset, "validation")
        reporter.progress("prepare", 3, 4)
        self._learning = self.preparation.event_set(dataset, LEARNING) if refit else None
        self._memory = Memory.of(dataset, protocol)
        self.test: EventSet = prepared_test(dataset, self.preparation, self._memory)
        reporter.progress("prepare", 4, 4)

    def run(
        self,
        name: str,
        epochs: int | None,
        hyperparameters: Mapping[str, Any],
        reporter: ProgressReporter,
    ) -> Outcome:
        """Train, calibrate and evaluate one model; arguments as in `fit`."""
        return self.outcome(self.fit(name, epochs, hyperparameters, reporter))

    def fit(
        self,
        name: str,
        epochs: int | None,
        hyperparameters: Mapping[str, Any],
        reporter: ProgressReporter,
    ) -> Fitted:
        """Train and calibrate one model, and let it score the test split.

        Args:
            name: Name of the model.
            epochs: Epochs of neural models; None for their own default.
            hyperparameters: Values by name; those left out have the model's defaults.
            reporter: Told of progress and of metrics per epoch.
        """
        model = create(name, self._seed, epochs, **hyperparameters)
        with measured() as fitting:
            model.fit(self.train, self.validation, reporter)
            validation = model.predict_proba(self.validation)
            if self._learning is not None:
                model.refit(self._learning, reporter)
        reporter.stop(name)
        calibration = Calibration.fit(self.validation.labels, validation, self.validation.weights)
        if self.costs is not None:
            calibration = replace(calibration, threshold=self.costs.threshold)
        with measured() as scoring:
            probability = calibration.apply(model.predict_proba(self.test))
        predictor = ReturnPredictor(
            self.source, self._options, self.preparation, self._memory, model, calibration
        )
        return Fitted(predictor, calibration.apply(validation), probability, fitting, scoring)

    def outcome(self, fitted: Fitted) -> Outcome:
        """Evaluate a model that was fitted on this dataset."""
        calibration, probability = fitted.predictor.calibration, fitted.test
        labelled = self.test_labels >= 0
        return Outcome(
            predictor=fitted.predictor,
            hyperparameters=fitted.predictor.model.hyperparameters,
            validation=self._report(self._validation, fitted.validation, calibration),
            test=self._report(
                self._test[labelled], probability[labelled], calibration, self.test_groups
            ),
            resolved=None
            if self._is_resolved.all()
            else self._report(
                self._test[labelled & self._is_resolved],
                probability[labelled & self._is_resolved],
                calibration,
            ),
            probability=probability,
            fitting=fitted.fitting,
            scoring=fitted.scoring,
        )

    @property
    def subject(self) -> str:
        """The source as plots and tables name it."""
        return described(self.source)

    @cached_property
    def test_labels(self) -> np.ndarray:
        """1 returned, 0 kept, -1 unknown of each test event, int8."""
        return self._events.returned[self._test]

    @cached_property
    def test_customers(self) -> np.ndarray:
        """Customer index of each test event, int64."""
        return self._events.customer[self._test]

    @cached_property
    def test_row_ids(self) -> Any:
        """The source's own key of each test event, as an Arrow column."""
        return self._dataset.events["row_id"].take(self._test)

    @cached_property
    def _is_resolved(self) -> np.ndarray:
        rows = self._dataset.events.select(["customer_row", "variant_row"]).take(self._test)
        both = pc.and_(pc.is_valid(rows["customer_row"]), pc.is_valid(rows["variant_row"]))
        return np.asarray(both.to_numpy(), dtype=bool)

    @cached_property
    def test_groups(self) -> dict[str, np.ndarray]:
        """Market, product type and the like of the labelled test events, known or new customer."""
        events = self._test[self.test_labels >= 0]
        columns = event_columns(self._dataset, Protocol.STRICT, events)
        attributes = columns.select(columns_with_role(columns.schema, [Role.ATTRIBUTE]))
        groups = {
            name: attributes[name].to_pandas().to_numpy(dtype=object, na_value=None)
            for name in attributes.column_names
            if len(pc.unique(attributes[name])) <= MOST_GROUPS
        }
        customer = self._events.customer
        known = np.isin(customer[events], customer[known_labels(self._dataset, "test")])
        groups["customer"] = np.where(known, "known", "new")
        return groups

    def _report(
        self,
        events: np.ndarray,
        probability: np.ndarray,
        calibration: Calibration,
        groups: Mapping[str, np.ndarray] | None = None,
    ) -> Report:
        """Report on labelled events; `groups` are the ways to slice them."""
        truth = None if self._true_probability is None else self._true_probability[events]
        return evaluate(
            self._events.returned[events],
            probability,
            calibration.threshold,
            self._events.customer[events],
            groups,
            true_probability=truth,
            base_rate=float(self.train.labels.mean()),
            costs=self.costs,
            seed=self._seed,
        )
