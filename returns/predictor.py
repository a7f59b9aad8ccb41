"""A model with all it needs to score raw events: preparation, memory, calibration."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from data.sources.base import SourceTables
from returns.calibration import Calibration
from returns.event_set import EventSet
from returns.memory import Memory
from returns.models.base import ReturnClassifier
from returns.models.registry import load as load_model
from returns.preparation import Preparation
from returns.reasons.per_event import contributions_of, main_reasons

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ReturnPredictor:
    """Scores new events of one source, alike in evaluation and in production.

    Attributes:
        source: Name of the source whose format the events have.
        options: Options of that source.
        preparation: Encoders fitted on the training events.
        memory: Labelled events and node rows of the past.
        model: The fitted classifier.
        calibration: Temperature and threshold chosen on validation.
    """

    source: str
    options: Mapping[str, Any]
    preparation: Preparation
    memory: Memory
    model: ReturnClassifier
    calibration: Calibration

    def score(self, new: SourceTables, reasons: int = 0) -> pa.Table:
        """Score events.

        Args:
            new: Events in canonical columns with original keys, and their node rows.
            reasons: Main reasons wanted of each event at most.

        Returns:
            `row_id`, `probability` (float64, calibrated) and `decision` (int8, 1 where the
            probability reaches the threshold), one row per event in the order given; with
            reasons wanted also `reasons`, a list of `returns.reasons.per_event.REASON`.

        Raises:
            TypeError: Reasons are wanted of a model that gives none.
        """
        dataset = self.memory.with_new(new)
        events = self.preparation.event_set(dataset, "test")
        return self.score_prepared(new.events["row_id"], events, reasons)

    def score_prepared(
        self, row_ids: pa.ChunkedArray, events: EventSet, reasons: int = 0
    ) -> pa.Table:
        """Score events that are prepared already; else as `score`.

        Args:
            row_ids: The source's own key of each event, `(num_events,)`.
            events: The same events.
            reasons: Main reasons wanted of each event at most.
        """
        if reasons:
            events = events.searched_once()
        probability = self.calibration.apply(self.model.predict_proba(events))
        decision = (probability >= self.calibration.threshold).astype(np.int8)
        columns = {
            "row_id": row_ids,
            "probability": pa.array(probability),
            "decision": pa.array(decision),
        }
        if reasons:
            account = contributions_of(self.model, events, self.calibration.temperature)
            columns["reasons"] = main_reasons(account, events.features, reasons)
        return pa.table(columns)

    def save(self, folder: Path) -> None:
        """Write everything into an existing folder: JSON, Parquet, safetensors, plain text."""
        self.memory.save(folder)
        (folder / "model").mkdir()
        self.model.save(folder / "model")
        content = {
            "format_version": FORMAT_VERSION,
            "source": self.source,
            "options": dict(self.options),
            "preparation": self.preparation.to_json(),
            "missing_rows_leak": list(self.memory.tables.missing_rows_leak),
            "model": self.model.name,
            "calibration": self.calibration.to_json(),
        }
        (folder / "predictor.json").write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; its scores are the same to the last bit.

        Raises:
            ValueError: The folder was written in another format version.
        """
        content = json.loads((folder / "predictor.json").read_text())
        if content["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"{folder} has format version {content['format_version']}, "
                f"this program reads {FORMAT_VERSION}"
            )
        return cls(
            source=content["source"],
            options=content["options"],
            preparation=Preparation.from_json(content["preparation"]),
            memory=Memory.load(folder, content["missing_rows_leak"]),
            model=load_model(content["model"], folder / "model"),
            calibration=Calibration.from_json(content["calibration"]),
        )
