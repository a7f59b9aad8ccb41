"""What the baseline models share: hyper-parameters, their file, and what can be learned from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from returns.event_set import EventSet
from returns.models.search_space import SearchSpace

CONFIGURATION = "model.json"


@dataclass(eq=False)
class Configured:
    """A classifier whose constructor arguments are its hyper-parameters.

    Attributes:
        name: Name on the command line.
        search_space: Ranges of the hyper-parameters that tuning chooses.
        seed: Of everything the model draws.
    """

    name: ClassVar[str]
    search_space: ClassVar[SearchSpace]

    seed: int = 0

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Constructor arguments as JSON values."""
        return hyperparameters_of(self)


def hyperparameters_of(model: Any) -> dict[str, Any]:
    """Constructor arguments of a dataclass model as a flat dictionary of JSON values."""
    return {field.name: getattr(model, field.name) for field in fields(model) if field.init}


def write_configuration(folder: Path, model: Any, fitted: Mapping[str, Any]) -> None:
    """Write a model's name, hyper-parameters and fitted JSON values.

    Args:
        folder: Existing folder of the model.
        model: Dataclass model with a `name`.
        fitted: What the fit found, apart from arrays, as JSON values.
    """
    content = {
        "model": model.name,
        "hyperparameters": hyperparameters_of(model),
        "fitted": dict(fitted),
    }
    (folder / CONFIGURATION).write_text(json.dumps(content), encoding="utf-8")


def read_configuration(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `write_configuration` wrote.

    Args:
        folder: Folder of the model.
        name: Name of the model that the folder must hold.

    Returns:
        The hyper-parameters, and what the fit found.

    Raises:
        ValueError: The folder holds another model.
    """
    content = json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
    if content["model"] != name:
        raise ValueError(f"{folder} holds model '{content['model']}', not '{name}'")
    return content["hyperparameters"], content["fitted"]


def require_learnable(train: EventSet, validation: EventSet) -> None:
    """Refuse events that nothing can be learned from.

    Raises:
        ValueError: The training events are all returned or all kept, there are no validation
            events, or an event of either has no known label.
    """
    found = np.unique(train.labels)
    if not np.array_equal(found, [0, 1]):
        raise ValueError(
            f"training needs returned (1) and kept (0) events and no others, found {found.tolist()}"
        )
    if len(validation) == 0 or not np.isin(validation.labels, (0, 1)).all():
        raise ValueError("validation needs events, each with a known label (0 or 1)")
