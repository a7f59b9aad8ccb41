from dataclasses import dataclass

import pytest

from returns.models.hyperparameters import (
    hyperparameter_faults,
    hyperparameter_types,
    spoken_types,
)


@dataclass
class Model:
    seed: int = 0
    epochs: int | None = None
    width: int = 8
    rate: float = 0.1
    depth: int | None = None
    kind: str = "mean"
    shared: bool = True


def test_seed_and_epochs_are_not_a_models_own():
    assert hyperparameter_types(Model) == {
        "width": int,
        "rate": float,
        "depth": int | None,
        "kind": str,
        "shared": bool,
    }
    assert spoken_types(Model) == (
        "width (int), rate (float), depth (int | None), kind (str), shared (bool)"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 3),
        ("rate", 0.5),
        ("rate", 1),
        ("depth", None),
        ("depth", 4),
        ("kind", "max"),
        ("shared", False),
    ],
)
def test_values_of_the_right_type_fit(name, value):
    assert hyperparameter_faults(Model, {name: value}) == {}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("width", 3.0, "type int, not 3.0"),
        ("width", True, "type int, not True"),
        ("width", None, "type int, not None"),
        ("rate", "0.1", "type float, not '0.1'"),
        ("rate", float("nan"), "type float, not nan"),
        ("rate", True, "type float, not True"),
        ("depth", "4", "type int | None, not '4'"),
        ("kind", 1, "type str, not 1"),
        ("shared", 1, "type bool, not 1"),
        ("heads", 4, "no hyper-parameter"),
        ("seed", 4, "given to all models alike"),
        ("epochs", 4, "given to all models alike"),
    ],
)
def test_what_does_not_fit_is_named(name, value, says):
    faults = hyperparameter_faults(Model, {"width": 3, name: value})
    assert set(faults) == {name}
    assert says in faults[name]
