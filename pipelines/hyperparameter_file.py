"""Hyper-parameters of models in a JSON file: `tune` writes it, `train` reads it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.files import atomic_file
from data.validation import Fault, InputError
from returns.models.hyperparameters import hyperparameter_faults, spoken_types
from returns.models.registry import MODELS, model_class

EXAMPLE = '{"logistic": {"inverse_regularisation": 0.1}}'


def write_hyperparameters(path: Path, hyperparameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Write `{model: {name: value}}`, whole or not at all."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(hyperparameters, indent=2) + "\n", encoding="utf-8")


def read_hyperparameters(path: Path) -> dict[str, dict[str, Any]]:
    """Read `{model: {name: value}}`; what it leaves out has the model's defaults.

    Raises:
        InputError: The file cannot be read, or names a model or a hyper-parameter that there is
            not, or gives a value of another type; carries all such faults.
    """
    file = str(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_twins)
    except OSError as error:
        message = f"the file cannot be read ({error.strerror})"
        raise InputError([Fault(file, message, "Check --hyperparameters")]) from error
    except ValueError as error:  # not UTF-8, not JSON, or a name twice
        message = f"the file is no JSON ({error})"
        raise InputError([Fault(file, message, f"Write it like {EXAMPLE}")]) from error
    if not isinstance(content, dict):
        message = "the file must map models to hyper-parameters"
        raise InputError([Fault(file, message, f"Write it like {EXAMPLE}")])
    faults = [fault for model, values in content.items() for fault in _faults(file, model, values)]
    if faults:
        raise InputError(faults)
    return content


def _faults(file: str, model: str, values: object) -> list[Fault]:
    if model not in MODELS:
        return [Fault(file, f"there is no model '{model}'", f"Choose from {', '.join(MODELS)}")]
    if not isinstance(values, dict):
        message = f"model '{model}': its hyper-parameters must be an object, not {values!r}"
        return [Fault(file, message, f"Write it like {EXAMPLE}")]
    found = hyperparameter_faults(model_class(model), values)
    there_are = f"There are: {spoken_types(model_class(model))}"
    return [
        Fault(file, f"model '{model}': '{name}' {wrong}", there_are)
        for name, wrong in found.items()
    ]


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, unless a name stands in it twice: one of the values would be lost."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"twice in one object: {', '.join(twice)}")
    return dict(pairs)
