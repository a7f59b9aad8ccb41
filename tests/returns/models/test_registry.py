import subprocess
import sys
from pathlib import Path

import pytest

from returns.models import registry

LIBRARIES = ("sklearn", "xgboost", "lightgbm", "returns.models.gnn")


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    for call in (
        lambda: registry.create("transformer"),
        lambda: registry.load("transformer", Path()),
    ):
        with pytest.raises(ValueError, match="logistic, forest, mlp, xgboost, lightgbm, gnn"):
            call()


@pytest.mark.parametrize("name", registry.MODELS)
def test_a_class_is_found_under_its_own_name(name: str) -> None:
    assert registry.model_class(name).name == name


def test_epochs_reach_the_models_that_make_passes_only() -> None:
    assert registry.create("mlp", seed=1, epochs=3).hyperparameters["epochs"] == 3
    assert registry.create("mlp", seed=1).hyperparameters["epochs"] > 3
    assert "epochs" not in registry.create("logistic", epochs=3).hyperparameters


def test_no_library_is_imported_before_its_model_is_used() -> None:
    code = (
        "import sys; from returns.models import registry; "
        f"sys.exit(any(name in sys.modules for name in {LIBRARIES}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_hyperparameters_are_given_by_name() -> None:
    made = registry.create("lightgbm", seed=2, num_leaves=7, learning_rate=0.3).hyperparameters
    default = registry.create("lightgbm", seed=2).hyperparameters
    assert made == {**default, "num_leaves": 7, "learning_rate": 0.3}


def test_unknown_and_ill_typed_hyperparameters_are_all_named() -> None:
    with pytest.raises(ValueError, match=r"mlp: 'heads' is no .*'dropout' must .*hidden_width"):
        registry.create("mlp", heads=4, dropout="much", hidden_width=8)


def test_a_search_space_is_found_by_name_or_refused() -> None:
    assert "num_leaves" in registry.search_space("lightgbm")
    with pytest.raises(ValueError, match="unknown model 'transformer'"):
        registry.search_space("transformer")
