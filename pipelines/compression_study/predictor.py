"""The study of a trained return predictor: its network, pruned by its own figures."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from compression.likelihoods import Bernoulli
from compression.problem import Batch
from compression.studies.pruning import Pruned, Subject
from pipelines.compression_study.fine_tuning import FineTuning, distillation
from pipelines.compression_study.network_scores import PreparedEvents
from pipelines.compression_study.trained_predictor import TrainedPredictor
from returns.calibration import Calibration
from returns.evaluation import paired_difference
from returns.metrics import ScoredEvents, cross_entropy
from returns.predictor import ReturnPredictor

BATCH_SIZE = 512
"""Events of a batch that curvature is estimated from, give or take an order."""

FINE_TUNING_SEED = 0
"""Of the order of events and of dropout in fine-tuning: the same for all cells."""

MEASURED = ("f1", "f1_at_threshold", "cross_entropy")
"""What is measured of a network; see `returns.metrics`."""


@dataclass(frozen=True)
class Scored:
    """A network's calibrated probabilities.

    Attributes:
        calibration: That gave them.
        validation: Of the validation events, `(num_validation,)`.
        test: Of the labelled test events, `(num_labelled,)`.
    """

    calibration: Calibration
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class PredictorStudy:
    """A predictor's network with learning events to prune by and validation events to choose by.

    Attributes:
        trained: The predictor and its events.
        num_events: Learning events that curvature is estimated from.
        validation: The validation events as the network reads them.
        test: The test events as the network reads them.
        dense: Scores of the dense network, calibrated as the predictor is.
        fine_tuning: How networks learn on while they are pruned; None: not at all. Settings are
            chosen without.
        chosen_by: Name of the figure by which settings are chosen.
    """

    trained: TrainedPredictor
    num_events: int
    validation: PreparedEvents
    test: PreparedEvents
    dense: Scored
    fine_tuning: FineTuning | None = None
    chosen_by: str = "validation_log_likelihood"

    @classmethod
    def of(cls, trained: TrainedPredictor, num_events: int) -> Self:
        """Make the batches of validation and test events, and score the dense network.

        Args:
            trained: The predictor and its events.
            num_events: Learning events that curvature is estimated from.
        """
        network = trained.model.network.eval()
        validation = PreparedEvents.of(trained.model, trained.validation)
        test = PreparedEvents.of(trained.model, trained.test.events)
        calibration = trained.predictor.calibration
        dense = Scored(
            calibration,
            calibration.apply(validation.probabilities(network)),
            calibration.apply(test.probabilities(network)[trained.test.labelled]),
        )
        return cls(trained, num_events, validation, test, dense)

    @property
    def described(self) -> Mapping[str, Any]:
        """What its cells depend on, as JSON values."""
        described = {
            "model": self.trained.name,
            "uri": self.trained.uri,
            "dataset": self.trained.origin.metadata["dataset_digest"],
            "learned_validation": self.trained.learned_validation,
            "num_events": self.num_events,
            "batch_size": BATCH_SIZE,
        }
        if self.fine_tuning is not None:
            described["fine_tuning"] = asdict(self.fine_tuning)
        return described

    def for_choice(self) -> Self:
        """The same without fine-tuning."""
        return replace(self, fine_tuning=None)

    def subject(self, seed: int) -> Subject:
        """The network, with learning events that a seed draws by their weights."""
        batches: list[Batch] = []
        number = 0
        for batch in self._learning_batches(seed):
            batches.append(batch)
            number += len(batch[1])
            if number >= self.num_events:
                break
        network, fine_tune = self.trained.model.network.eval(), None
        if self.fine_tuning is not None:
            fine_tune = distillation(
                network,
                lambda: self._learning_batches(FINE_TUNING_SEED),
                self.fine_tuning,
                FINE_TUNING_SEED,
            )
        return Subject(network, Bernoulli(), batches, fine_tune=fine_tune)

    def figures(self, pruned: Pruned) -> Mapping[str, float]:
        """Figures of a pruned network on validation and test events."""
        return self._measured(self._scored(pruned.network))

    def dense_figures(self) -> Mapping[str, float]:
        """Figures of the dense network; those that are differences to it are 0."""
        return self._measured(self.dense)

    def predictor(self, network: nn.Module) -> ReturnPredictor:
        """The predictor with a pruned network, calibrated for it."""
        return replace(
            self.trained.predictor,
            model=self.trained.model.with_network(network),
            calibration=self._scored(network).calibration,
        )

    def _learning_batches(self, seed: int) -> Iterator[Batch]:
        """Learning events without end, pass after pass, drawn by their weights."""
        generator = np.random.default_rng(seed)
        events = self.trained.learning
        while True:
            for inputs, rows in self.trained.model.mini_batches(events, BATCH_SIZE, generator):
                yield inputs, torch.from_numpy(events.labels[rows].astype(np.float32))

    def _scored(self, network: nn.Module) -> Scored:
        validation = self.validation.probabilities(network)
        test = self.test.probabilities(network)[self.trained.test.labelled]
        calibration = self._calibration(validation)
        return Scored(calibration, calibration.apply(validation), calibration.apply(test))

    def _calibration(self, validation: np.ndarray) -> Calibration:
        """Chosen on the validation events, unless the networks learned from these as well."""
        events, known = self.trained.validation, self.trained.predictor.calibration
        if self.trained.learned_validation:
            return known
        chosen = Calibration.fit(events.labels, validation, events.weights)
        return replace(chosen, threshold=known.threshold) if self.trained.has_costs else chosen

    def _measured(self, scored: Scored) -> dict[str, float]:
        events, threshold = self.trained.validation, scored.calibration.threshold
        on_validation = ScoredEvents.of(events.labels, scored.validation, threshold).metrics()
        on_test = ScoredEvents.of(self.trained.test.labels, scored.test, threshold).metrics()
        loss = cross_entropy(events.labels, scored.validation, events.weights)
        return (
            {f"validation_{name}": on_validation[name] for name in MEASURED}
            | {"validation_log_likelihood": -loss}
            | {f"test_{name}": on_test[name] for name in MEASURED}
            | self._less_dense(scored)
        )

    def _less_dense(self, scored: Scored) -> dict[str, float]:
        """Test figures less the dense network's, with 95 % intervals over the same customers."""
        test, dense = self.trained.test, self.dense
        found = paired_difference(
            test.labels,
            test.customers,
            (scored.test, scored.calibration.threshold),
            (dense.test, dense.calibration.threshold),
        )
        figures = {}
        for name in MEASURED:
            figures[f"test_{name}_difference"] = found[name].value
            figures[f"test_{name}_difference_low"] = found[name].low
            figures[f"test_{name}_difference_high"] = found[name].high
        return figures
