"""The model that serves, as a cycle meets it: may it be compared, and what does it score."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.dataset import Dataset
from data.validation import Fault, InputError
from pipelines import tracking
from pipelines.registry import Version, verify
from returns.memory import split_tables
from returns.predictor import ReturnPredictor
from returns.protocol import Protocol

PREDICTIONS = "predictions/test.parquet"
"""Artifact of a run: what the model scored on its own test."""


@dataclass(frozen=True)
class Champion:
    """A version that serves, loaded.

    Attributes:
        version: In the registry.
        predictor: The model.
    """

    version: Version
    predictor: ReturnPredictor

    @classmethod
    def load(cls, version: Version) -> "Champion":
        """Load a version.

        Raises:
            UnservableError: It cannot be loaded.
        """
        return cls(version, verify(version))

    @property
    def learned_until(self) -> date | None:
        """First day that it did not learn from; None if it is not known."""
        day = self.version.tags.get("test_from")
        return None if day is None else date.fromisoformat(day)

    def check_comparable(
        self, source: str, reader_options: Mapping[str, Any], test_from: date
    ) -> None:
        """See that a comparison with it on a test would be fair.

        Args:
            source: Source of the challenger.
            reader_options: Options of that source.
            test_from: First day of the test.

        Raises:
            InputError: It is of another protocol or source, reads other columns, or has learned
                from days of the test.
        """
        name, faults = self.version.uri, []
        protocol = self.predictor.preparation.protocol
        if protocol is not Protocol.STRICT:
            message = f"the champion is of protocol {protocol.value}, which never compares"
            faults.append(Fault(name, message, "Remove its alias, or use another --home"))
        columns = [_columns(options) for options in (self.predictor.options, reader_options)]
        if self.predictor.source != source or columns[0] != columns[1]:
            message = "the champion reads order lines of another source or mapping"
            faults.append(Fault(name, message, "Remove its alias, or use another --home"))
        if self.learned_until is not None and test_from < self.learned_until:
            message = (
                f"the champion has learned from orders until {self.learned_until}, and the test "
                f"would begin on {test_from}"
            )
            faults.append(Fault(name, message, "Set the clock, or wait for newer labels"))
        if faults:
            raise InputError(faults)

    def score_test(self, dataset: Dataset) -> np.ndarray:
        """Its probability of each test event, float64 `(num_test,)`, scored as new order lines."""
        scores = self.predictor.score(split_tables(dataset, ("test",), Protocol.STRICT))
        return np.asarray(scores["probability"].to_numpy(), dtype=np.float64)

    def own_test_scores(self) -> pa.Table | None:
        """What it scored on its own test: `row_id`, `probability`; None if the run has it not."""
        path = tracking.find_artifact(self.version.run_id, PREDICTIONS)
        return None if path is None else pq.read_table(path, columns=["row_id", "probability"])


def _columns(options: Mapping[str, Any]) -> object:
    """What options say of columns; where the parts begin is of no matter."""
    mapping = options.get("mapping")
    return None if mapping is None else {k: v for k, v in mapping.items() if k != "split"}
