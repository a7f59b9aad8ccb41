"""Models fitted in a cycle, kept until it is over: one that was fitted is not fitted again."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from data.files import atomic_folder
from pipelines.experiment import Fitted
from pipelines.resources import Usage
from returns.predictor import ReturnPredictor

History = Sequence[tuple[int, dict[str, float]]]
"""Metrics per step, as a reporter heard them."""


def keep_fit(folder: Path, fitted: Fitted, history: History) -> None:
    """Write a fitted model, its probabilities and how it was learned; whole or not at all.

    Args:
        folder: To be written.
        fitted: The model.
        history: Metrics per step.
    """
    with atomic_folder(folder) as partial:
        (partial / "predictor").mkdir()
        fitted.predictor.save(partial / "predictor")
        for name in ("validation", "test"):
            np.save(partial / f"{name}.npy", getattr(fitted, name), allow_pickle=False)
        content = {
            "fitting": asdict(fitted.fitting),
            "scoring": asdict(fitted.scoring),
            "history": list(history),
        }
        (partial / "fit.json").write_text(json.dumps(content) + "\n")


def read_fit(folder: Path) -> tuple[Fitted, History]:
    """Read what `keep_fit` wrote."""
    content = json.loads((folder / "fit.json").read_text())
    fitted = Fitted(
        predictor=ReturnPredictor.load(folder / "predictor"),
        validation=np.load(folder / "validation.npy", allow_pickle=False),
        test=np.load(folder / "test.npy", allow_pickle=False),
        fitting=Usage(**content["fitting"]),
        scoring=Usage(**content["scoring"]),
    )
    return fitted, [(step, metrics) for step, metrics in content["history"]]
