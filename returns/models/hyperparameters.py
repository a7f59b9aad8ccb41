"""Hyper-parameters of a model class by name: what there are, and whether values fit."""

import math
import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Union, get_args, get_origin, get_type_hints

GIVEN_TO_ALL = ("seed", "epochs")
"""Constructor arguments that a run gives to all its models alike, so none has its own."""


def hyperparameter_types(model: type) -> dict[str, Any]:
    """Type of each hyper-parameter but those of `GIVEN_TO_ALL`.

    Args:
        model: A dataclass whose constructor arguments are its hyper-parameters.
    """
    hints = get_type_hints(model)
    names = [field.name for field in fields(model) if field.init]
    return {name: hints[name] for name in names if name not in GIVEN_TO_ALL}


def spoken_types(model: type) -> str:
    """The hyper-parameters of a model class with their types, as a list to read."""
    return ", ".join(
        f"{name} ({_spoken(kind)})" for name, kind in hyperparameter_types(model).items()
    )


def hyperparameter_faults(model: type, values: Mapping[str, object]) -> dict[str, str]:
    """What is wrong with given values, by hyper-parameter; empty if nothing is.

    Args:
        model: A dataclass whose constructor arguments are its hyper-parameters.
        values: Values as JSON has them: a whole number will do for a real one.
    """
    known = hyperparameter_types(model)
    faults = {}
    for name, value in values.items():
        if name in GIVEN_TO_ALL:
            faults[name] = "is given to all models alike, by an option of its own"
        elif name not in known:
            faults[name] = "is no hyper-parameter of the model"
        elif not _fits(value, known[name]):
            faults[name] = f"must be of type {_spoken(known[name])}, not {value!r}"
    return faults


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(kind))
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return math.isfinite(value)
    return type(value) is kind


def _spoken(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)
