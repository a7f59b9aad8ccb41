"""What commands that train models share: their names, and whether a dataset can be learned from."""

from collections.abc import Sequence
from typing import Literal, get_args

from data.dataset import Manifest
from data.validation import Fault, InputError

ModelName = Literal[
    "logistic", "forest", "mlp", "xgboost", "lightgbm", "gnn", "stack", "sage", "gnn-paper"
]
DEFAULT_MODELS: tuple[ModelName, ...] = ("logistic", "forest", "mlp", "xgboost", "lightgbm", "gnn")
"""Models trained where none are named: our own, not the reference that they are compared with."""


def model_faults(models: Sequence[str]) -> list[Fault]:
    """Faults of the option `--models` that its type does not catch."""
    faults = []
    if not models:
        message = "no model is named"
        faults.append(Fault("--models", message, f"Choose from {', '.join(get_args(ModelName))}"))
    if len(set(models)) < len(models):
        faults.append(Fault("--models", "a model is named twice", "Name each model once"))
    return faults


def require_both_classes(manifest: Manifest, splits: Sequence[str]) -> None:
    """See that splits have returned and kept events.

    Raises:
        InputError: One of them has not.
    """
    faults = []
    for split in splits:
        number, returned = (manifest.counts[f"{what}_{split}"] for what in ("events", "returned"))
        if not 0 < returned < number:
            message = f"the {split} split has {number} events, {returned} of them returned"
            remedy = "Every split needs returned and kept events: give more data, or other dates"
            faults.append(Fault(manifest.source, message, remedy))
    if faults:
        raise InputError(faults)
