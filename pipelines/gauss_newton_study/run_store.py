"""Finished runs, one JSON file each: a run whose file is there is not run again."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from data.files import atomic_file
from gn_study.studies.configuration import Experiment
from gn_study.studies.record import Record
from pipelines.gauss_newton_study.data_options import DataOptions

LAYOUT = 1
"""Layout of the files; runs of another layout are run again."""


@dataclass(frozen=True)
class FinishedRun:
    """What is kept of a run.

    Attributes:
        key: Digest of all that its outcome depends on.
        data_name: What the data are called.
        learning_rates: Of each phase.
        seed: Of the run.
        epochs: Columns over epochs, see `gn_study.studies.training.train`.
        steps: Columns over measured updates.
        grams: Gram matrices of the last block outputs, float32
            `(num_blocks, num_samples, num_samples)`; None where there are none.
        diverged: Whether a loss ceased to be finite.
        num_parameters: Trained numbers of the network.
        seconds: Wall time of the run, measuring included.
    """

    key: str
    data_name: str
    learning_rates: tuple[float, ...]
    seed: int
    epochs: Mapping[str, np.ndarray]
    steps: Mapping[str, np.ndarray]
    grams: np.ndarray | None
    diverged: bool
    num_parameters: int
    seconds: float


class RunStore:
    """A folder of finished runs."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, which need not exist yet."""
        self._folder = folder

    def key(self, data: DataOptions, fingerprint: str, experiment: Experiment) -> str:
        """Digest of all that a run's outcome depends on.

        Args:
            data: What it is trained on.
            fingerprint: Identity of the files that are read.
            experiment: What is done.
        """
        content = [LAYOUT, asdict(data), fingerprint, asdict(experiment)]
        text = json.dumps(content, sort_keys=True)
        return f"{data.name}-{sha256(text.encode()).hexdigest()[:16]}"

    def has(self, key: str) -> bool:
        """Whether a run is finished."""
        return self._json(key).is_file()

    def write(
        self,
        key: str,
        data: DataOptions,
        data_name: str,
        experiment: Experiment,
        record: Record,
        seconds: float,
        machine: str,
    ) -> Path:
        """Keep a finished run; its JSON file appears last, and whole.

        Args:
            key: Of the run.
            data: What it was trained on.
            data_name: What the data are called.
            experiment: What was done.
            record: What came of it.
            seconds: Wall time.
            machine: Where.

        Returns:
            The JSON file.
        """
        if record.grams is not None:
            with atomic_file(self._arrays(key)) as path, path.open("wb") as stream:
                np.savez_compressed(stream, grams=record.grams.float().cpu().numpy())
        content = {
            "layout": LAYOUT,
            "data": asdict(data),
            "data_name": data_name,
            "experiment": asdict(experiment),
            "seeds": asdict(record.seeds),
            "diverged": record.diverged,
            "num_parameters": record.num_parameters,
            "seconds": seconds,
            "machine": machine,
            "epochs": _without_non_numbers(record.epochs),
            "steps": _without_non_numbers(record.steps),
        }
        with atomic_file(self._json(key)) as path:
            path.write_text(json.dumps(content, allow_nan=False))
        return self._json(key)

    def read(self, key: str) -> FinishedRun:
        """A finished run."""
        content: dict[str, Any] = json.loads(self._json(key).read_text())
        experiment = content["experiment"]
        grams = None
        if self._arrays(key).is_file():
            with np.load(self._arrays(key), allow_pickle=False) as arrays:
                grams = arrays["grams"]
        return FinishedRun(
            key=key,
            data_name=content["data_name"],
            learning_rates=tuple(
                phase["optimiser"]["learning_rate"] for phase in experiment["phases"]
            ),
            seed=experiment["seed"],
            epochs=_as_arrays(content["epochs"]),
            steps=_as_arrays(content["steps"]),
            grams=grams,
            diverged=content["diverged"],
            num_parameters=content["num_parameters"],
            seconds=content["seconds"],
        )

    def _json(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _arrays(self, key: str) -> Path:
        return self._folder / f"{key}.npz"


def _without_non_numbers(columns: Mapping[str, list[float]]) -> dict[str, list[float | str | None]]:
    """Columns as JSON has them: null where nothing was measured, a word where it is infinite."""
    return {
        name: [
            None if math.isnan(value) else str(value) if math.isinf(value) else value
            for value in column
        ]
        for name, column in columns.items()
    }


def _as_arrays(columns: Mapping[str, list[float | str | None]]) -> dict[str, np.ndarray]:
    return {
        name: np.array([math.nan if value is None else float(value) for value in column])
        for name, column in columns.items()
    }
