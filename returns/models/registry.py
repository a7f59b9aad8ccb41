"""Every return classifier by its name on the command line."""

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from returns.models.base import ReturnClassifier

MODELS: dict[str, str] = {
    "logistic": "returns.models.linear.Logistic",
    "forest": "returns.models.forest.Forest",
    "mlp": "returns.models.mlp.MLP",
    "xgboost": "returns.models.boosting.XGBoost",
    "lightgbm": "returns.models.boosting.LightGBM",
    "gnn": "returns.models.gnn.GNN",
}
"""Import path of each class: nothing is imported before it is used."""


def model_class(name: str) -> type[ReturnClassifier]:
    """The class of a model.

    Raises:
        ValueError: There is no such model; names those there are.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model '{name}'; there are: {', '.join(MODELS)}")
    module, _, class_name = MODELS[name].rpartition(".")
    found: type[ReturnClassifier] = getattr(import_module(module), class_name)
    return found


def create(name: str, seed: int = 0, epochs: int | None = None) -> ReturnClassifier:
    """An unfitted model with its default hyper-parameters.

    Args:
        name: One of `MODELS`.
        seed: Of everything the model draws.
        epochs: Passes over the training events, for models that make passes; None: their default.

    Raises:
        ValueError: There is no such model.
    """
    constructor: Callable[..., ReturnClassifier] = model_class(name)
    if epochs is None or "epochs" not in inspect.signature(constructor).parameters:
        return constructor(seed=seed)
    return constructor(seed=seed, epochs=epochs)


def load(name: str, folder: Path) -> ReturnClassifier:
    """A fitted model that was saved into a folder.

    Raises:
        ValueError: There is no such model, or the folder holds another one.
    """
    return model_class(name).load(folder)
