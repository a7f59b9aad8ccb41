"""Every return classifier by its name on the command line."""

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from returns.models.base import ReturnClassifier
from returns.models.hyperparameters import hyperparameter_faults, spoken_types
from returns.models.search_space import SearchSpace

MODELS: dict[str, str] = {
    "logistic": "returns.models.linear.Logistic",
    "forest": "returns.models.forest.Forest",
    "mlp": "returns.models.mlp.MLP",
    "xgboost": "returns.models.xgboost_trees.XGBoost",
    "lightgbm": "returns.models.lightgbm_trees.LightGBM",
    "gnn": "returns.models.gnn.GNN",
    "stack": "returns.models.stack.Stack",
    "sage": "returns.models.sage.SAGE",
    "gnn-paper": "returns.models.gnn_paper.GNNPaper",
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


def search_space(name: str) -> SearchSpace:
    """Ranges of the hyper-parameters that tuning chooses; empty where it chooses none.

    Raises:
        ValueError: There is no such model.
    """
    space: SearchSpace = getattr(model_class(name), "search_space", {})
    return space


def learns_together(name: str) -> bool:
    """Whether several processes learn a model together; others are learned by one alone.

    Raises:
        ValueError: There is no such model.
    """
    together: bool = getattr(model_class(name), "learns_together", False)
    return together


def create(
    name: str, seed: int = 0, epochs: int | None = None, **hyperparameters: Any
) -> ReturnClassifier:
    """An unfitted model.

    Args:
        name: One of `MODELS`.
        seed: Of everything the model draws.
        epochs: Passes over the training events, for models that make passes; None: their default.
        hyperparameters: Values by name; those left out have the model's defaults.

    Raises:
        ValueError: There is no such model, it has no such hyper-parameter, or a value is of
            another type.
    """
    constructor: Callable[..., ReturnClassifier] = model_class(name)
    faults = hyperparameter_faults(model_class(name), hyperparameters)
    if faults:
        found = "; ".join(f"'{parameter}' {fault}" for parameter, fault in faults.items())
        raise ValueError(f"{name}: {found}; there are: {spoken_types(model_class(name))}")
    if epochs is not None and "epochs" in inspect.signature(constructor).parameters:
        hyperparameters["epochs"] = epochs
    return constructor(seed=seed, **hyperparameters)


def load(name: str, folder: Path) -> ReturnClassifier:
    """A fitted model that was saved into a folder.

    Raises:
        ValueError: There is no such model, or the folder holds another one.
    """
    return model_class(name).load(folder)
