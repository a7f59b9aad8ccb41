"""The fits of an ablation: each runs once, and its predictions are kept."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.dataset import Dataset, Manifest
from data.files import atomic_file
from data.reporter import Reporter
from pipelines.ablations import Case
from pipelines.held_out import prepared_test
from pipelines.progress import ProgressReporter
from pipelines.resources import measured
from returns.calibration import Calibration
from returns.evaluation import FEWEST_EVENTS
from returns.event_set import EventSet
from returns.knowledge import LEARNING, EventArrays, known_labels
from returns.memory import Memory
from returns.models.base import ReturnClassifier
from returns.models.registry import create
from returns.preparation import Preparation
from returns.protocol import Protocol

ScoredSplit = Literal["validation", "test"]


@dataclass(frozen=True)
class AblationData:
    """Events of all fits, prepared once; the test split only where it is scored.

    Attributes:
        preparation: Fitted on the training events.
        train: Events to learn from.
        validation: Events that stop the learning.
        learning: Both together, learned from anew before a dated test split is scored.
        test: Events of the test split; None where validation is scored.
        rows: Rows of the scored events in the dataset, int64 `(num_scored,)`.
        arrays: Of all events of the dataset.
        row_ids: The source's own key of each scored event.
        known: Scored events whose customer has labels to be known by, bool `(num_scored,)`.
        settings: What all predictions depend on, as JSON values.
    """

    preparation: Preparation
    train: EventSet
    validation: EventSet
    learning: EventSet | None
    test: EventSet | None
    rows: np.ndarray
    arrays: EventArrays
    row_ids: pa.ChunkedArray
    known: np.ndarray
    settings: Mapping[str, Any]

    @classmethod
    def prepare(
        cls,
        dataset: Dataset,
        manifest: Manifest,
        protocol: Protocol,
        label_delay_days: int,
        split: ScoredSplit,
        reporter: ProgressReporter,
    ) -> Self:
        """Prepare the events.

        Args:
            dataset: All events and node rows.
            manifest: Of the dataset.
            protocol: Strict or paper.
            label_delay_days: Days after the order until its label is known (dated data).
            split: What is scored.
            reporter: Told of progress.
        """
        reporter.progress("prepare", 0, 3)
        preparation = Preparation.fit(dataset, protocol, label_delay_days)
        train = preparation.event_set(dataset, "train")
        reporter.progress("prepare", 1, 3)
        validation = preparation.event_set(dataset, "validation")
        reporter.progress("prepare", 2, 3)
        test, learning = None, None
        if split == "test":
            test = prepared_test(dataset, preparation, Memory.of(dataset, protocol))
            learning = preparation.event_set(dataset, LEARNING) if dataset.is_dated else None
        reporter.progress("prepare", 3, 3)
        arrays = EventArrays.of(dataset)
        # Of validation, only labelled events are in its event set.
        wanted = dataset.split_mask(split) & ((arrays.returned >= 0) | (split == "test"))
        rows = np.flatnonzero(wanted)
        informed = arrays.customer[known_labels(dataset, split)]
        return cls(
            preparation=preparation,
            train=train,
            validation=validation,
            learning=learning,
            test=test,
            rows=rows,
            arrays=arrays,
            row_ids=dataset.events["row_id"].take(pa.array(rows)),
            known=np.isin(arrays.customer[rows], informed),
            settings={
                "dataset": manifest.digest,
                "protocol": protocol.value,
                "label_delay_days": label_delay_days,
                "split": split,
                "columns": (*train.features.numeric_names, *train.features.categorical_names),
            },
        )

    @property
    def labels(self) -> np.ndarray:
        """1 returned, 0 kept, -1 unknown of each scored event, int8 `(num_scored,)`."""
        return np.asarray(self.arrays.returned[self.rows])

    def groups(self) -> dict[str, np.ndarray]:
        """All labelled scored events, and those of known and of new customers.

        A group of too few events, or of all, is left out.

        Returns:
            By group, bool `(num_labelled,)`.
        """
        known = self.known[self.labels >= 0]
        parts = {
            name: mask
            for name, mask in (("known", known), ("new", ~known))
            if mask.sum() >= FEWEST_EVENTS and not mask.all()
        }
        return {"all": np.ones(len(known), dtype=bool), **parts}


@dataclass(frozen=True)
class Fit:
    """What one fit predicts.

    Attributes:
        probability: Of each scored event, float64 `(num_scored,)`; of validation as the model
            gives it, of test calibrated on validation.
        seconds: Wall time of fitting, refitting included.
    """

    probability: np.ndarray
    seconds: float


class KeptFits:
    """Fits of cases; one whose predictions lie in the folder does not run again."""

    def __init__(
        self,
        data: AblationData,
        folder: Path,
        epochs: int | None,
        hyperparameters: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Name the folder.

        Args:
            data: Prepared events.
            folder: Of the predictions of this dataset, protocol and split.
            epochs: Of neural models; None for their own default.
            hyperparameters: Given values of each model; what a case fixes comes before them.
        """
        self._data, self._folder = data, folder
        self._epochs, self._hyperparameters = epochs, hyperparameters

    def has(self, case: Case, seed: int) -> bool:
        """Whether the fit has run."""
        return self.path(case, seed).exists()

    def path(self, case: Case, seed: int) -> Path:
        """File of a fit, named after all that its predictions depend on but the code."""
        dependence = {
            "settings": self._data.settings,
            "model": case.model,
            "hyperparameters": self._model(case, seed).hyperparameters,
            "taken_out": asdict(case.taken_out),
        }
        content = json.dumps(dependence, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()[:16]
        return self._folder / f"{case.model}-{digest}-seed-{seed}.parquet"

    def get(self, case: Case, seed: int, reporter: Reporter) -> Fit:
        """The fit: run now, or before.

        Args:
            case: What is trained on what.
            seed: Of the model.
            reporter: Told of progress.
        """
        path = self.path(case, seed)
        if not path.exists():
            self._write(path, self._run(case, seed, reporter), case)
        table = pq.read_table(path)
        seconds = float(table.schema.metadata[b"seconds"])
        return Fit(np.asarray(table["probability"].to_numpy(), dtype=np.float64), seconds)

    def _run(self, case: Case, seed: int, reporter: Reporter) -> Fit:
        data, model = self._data, self._model(case, seed)
        train, validation = case.taken_out.of(data.train), case.taken_out.of(data.validation)
        with measured() as usage:
            model.fit(train, validation, reporter)
            probability = model.predict_proba(validation)
            if data.learning is not None:
                model.refit(case.taken_out.of(data.learning), reporter)
        if data.test is not None:
            calibration = Calibration.fit(validation.labels, probability, validation.weights)
            probability = calibration.apply(model.predict_proba(case.taken_out.of(data.test)))
        return Fit(probability, usage.seconds)

    def _write(self, path: Path, fit: Fit, case: Case) -> None:
        predictions = pa.table({"row_id": self._data.row_ids, "probability": fit.probability})
        described = {"case": case.name, "seconds": repr(fit.seconds)}
        with atomic_file(path) as partial:
            pq.write_table(predictions.replace_schema_metadata(described), partial)

    def _model(self, case: Case, seed: int) -> ReturnClassifier:
        given = self._hyperparameters.get(case.model, {})
        return create(case.model, seed, self._epochs, **{**given, **case.hyperparameters})
