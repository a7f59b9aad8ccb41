"""What the five baseline classifiers promise alike."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.reporter import SilentReporter
from returns.event_set import EventSet
from returns.metrics import ScoredEvents
from returns.models.base import ReturnClassifier
from returns.models.forest import Forest
from returns.models.lightgbm_trees import LightGBM
from returns.models.linear import Logistic
from returns.models.mlp import MLP
from returns.models.registry import MODELS, create, load
from returns.models.xgboost_trees import XGBoost

SMALL: dict[str, Callable[[int], ReturnClassifier]] = {
    "logistic": lambda seed: Logistic(seed),
    "forest": lambda seed: Forest(seed, num_trees=30, max_depth=8),
    "mlp": lambda seed: MLP(seed, epochs=6, hidden_width=32, batch_size=128),
    "xgboost": lambda seed: XGBoost(seed, rounds=60, max_depth=4),
    "lightgbm": lambda seed: LightGBM(seed, rounds=60, num_leaves=15),
}
DRAWING = [name for name in SMALL if name != "logistic"]

SCORE_IN_A_FRESH_PROCESS = """
import sys
from pathlib import Path
import numpy as np
from returns.event_set import EventSet, FeatureMatrix
from returns.models.registry import load

folder = Path(sys.argv[1])
events = np.load(folder / "events.npz")
features = FeatureMatrix(
    events["numeric"], events["categorical"], tuple(events["numeric_names"].tolist()),
    tuple(events["categorical_names"].tolist()), tuple(map(tuple, events["levels"].tolist())),
)
num_events = len(features)
event_set = EventSet(
    features, np.full(num_events, -1, np.int8), np.ones(num_events, np.float32),
    lambda: (), lambda fan_out: None,
)
for name in sys.argv[2:]:
    np.save(folder / f"{name}.npy", load(name, folder / name).predict_proba(event_set))
"""


@dataclass
class Recorder:
    """Keeps what a model reports."""

    done: list[tuple[float, float | None]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    values: list[Mapping[str, float]] = field(default_factory=list)

    def progress(self, task: str, completed: float, total: float | None = None) -> None:
        self.done.append((completed, total))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.steps.append(step)
        self.values.append(values)


@pytest.fixture(scope="module")
def recorders() -> dict[str, Recorder]:
    return {name: Recorder() for name in SMALL}


@pytest.fixture(scope="module")
def fitted(
    train: EventSet, validation: EventSet, recorders: dict[str, Recorder]
) -> dict[str, ReturnClassifier]:
    models = {name: make(0) for name, make in SMALL.items()}
    for name, model in models.items():
        model.fit(train, validation, recorders[name])
    return models


@pytest.fixture(scope="module")
def saved(fitted: dict[str, ReturnClassifier], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, model in fitted.items():
        (folder / name).mkdir()
        model.save(folder / name)
    return folder


@pytest.mark.parametrize("name", SMALL)
def test_it_learns(
    name: str, fitted: dict[str, ReturnClassifier], train: EventSet, test_events: EventSet
) -> None:
    probabilities = fitted[name].predict_proba(test_events)
    assert probabilities.dtype == np.float64
    assert probabilities.shape == (len(test_events),)
    found = ScoredEvents.of(test_events.labels, probabilities, 0.5).metrics()
    base_rate = np.full(len(test_events), train.labels.mean())
    ignorant = ScoredEvents.of(test_events.labels, base_rate, 0.5).metrics()
    assert found["cross_entropy"] < ignorant["cross_entropy"] - 0.1
    assert found["roc_auc"] > 0.8


def test_probabilities_are_the_same_to_the_last_bit_in_a_fresh_process(
    fitted: dict[str, ReturnClassifier], saved: Path, test_events: EventSet
) -> None:
    features = test_events.features
    np.savez(
        saved / "events.npz",
        numeric=features.numeric,
        categorical=features.categorical,
        numeric_names=features.numeric_names,
        categorical_names=features.categorical_names,
        levels=features.levels,
    )
    command = [sys.executable, "-c", SCORE_IN_A_FRESH_PROCESS, str(saved), *SMALL]
    subprocess.run(command, check=True)
    for name, model in fitted.items():
        scored = np.load(saved / f"{name}.npy")
        assert scored.tobytes() == model.predict_proba(test_events).tobytes(), name


@pytest.mark.parametrize("name", SMALL)
def test_a_loaded_model_saves_again_alike(
    name: str, saved: Path, tmp_path: Path, fitted: dict[str, ReturnClassifier]
) -> None:
    again = load(name, saved / name)
    assert type(again) is type(fitted[name])
    again.save(tmp_path)
    files = sorted(path.name for path in (saved / name).iterdir())
    assert files == sorted(path.name for path in tmp_path.iterdir())
    assert {Path(file).suffix for file in files} <= {".json", ".safetensors", ".txt"}
    for file in files:
        assert (tmp_path / file).read_bytes() == (saved / name / file).read_bytes()


@pytest.mark.parametrize("name", SMALL)
def test_hyperparameters_are_flat_json_and_survive(name: str, saved: Path) -> None:
    again = load(name, saved / name)
    hyperparameters = again.hyperparameters
    assert hyperparameters["seed"] == 0
    assert hyperparameters == SMALL[name](0).hyperparameters
    assert json.loads(json.dumps(hyperparameters)) == hyperparameters
    assert all(isinstance(value, int | float) for value in hyperparameters.values())


@pytest.mark.parametrize("name", SMALL)
def test_a_folder_of_another_model_is_refused(name: str, saved: Path) -> None:
    other = "mlp" if name == "logistic" else "logistic"
    with pytest.raises(ValueError, match=f"holds model '{other}', not '{name}'"):
        load(name, saved / other)


@pytest.mark.parametrize("name", SMALL)
def test_a_seed_fixes_the_model_and_global_generators_are_left_alone(
    name: str,
    fitted: dict[str, ReturnClassifier],
    train: EventSet,
    validation: EventSet,
    test_events: EventSet,
) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    again = SMALL[name](0)
    again.fit(train, validation, SilentReporter())
    np.testing.assert_array_equal(
        again.predict_proba(test_events), fitted[name].predict_proba(test_events)
    )
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tolist() == numpy_state  # noqa: NPY002


@pytest.mark.parametrize("name", DRAWING)
def test_another_seed_gives_another_model(
    name: str,
    fitted: dict[str, ReturnClassifier],
    train: EventSet,
    validation: EventSet,
    test_events: EventSet,
) -> None:
    other = SMALL[name](1)
    other.fit(train, validation, SilentReporter())
    assert (other.predict_proba(test_events) != fitted[name].predict_proba(test_events)).any()


@pytest.mark.parametrize("name", SMALL)
def test_weights_matter(name: str, train: EventSet, validation: EventSet) -> None:
    """Conflicting labels: the events of weight decide."""
    half = np.arange(len(train)) % 2 == 0
    conflicting = replace(
        train,
        labels=half.astype(np.int8),
        weights=np.where(half, 1.9, 0.1).astype(np.float32),
    )
    model = SMALL[name](0)
    model.fit(conflicting, replace(conflicting), SilentReporter())
    assert model.predict_proba(validation).mean() == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("name", ["mlp", "xgboost", "lightgbm"])
def test_validation_weights_choose_when_to_stop(
    name: str, train: EventSet, validation: EventSet
) -> None:
    """Of two kinds of validation events, the one of weight is told of in the reported loss."""
    returned = validation.labels == 1
    losses = []
    for weights in (np.where(returned, 1.9, 0.1), np.where(returned, 0.1, 1.9)):
        recorder = Recorder()
        weighted = replace(validation, weights=weights.astype(np.float32))
        SMALL[name](0).fit(train, weighted, recorder)
        losses.append([values["validation_cross_entropy"] for values in recorder.values])
    assert losses[0] != losses[1]


@pytest.mark.parametrize("name", SMALL)
def test_levels_and_gaps_that_training_never_saw_can_be_scored(
    name: str, fitted: dict[str, ReturnClassifier], test_events: EventSet
) -> None:
    features = test_events.features
    strange = replace(
        test_events,
        features=replace(
            features,
            numeric=np.full_like(features.numeric, np.nan),
            categorical=np.full_like(features.categorical, 4),
        ),
    )
    probabilities = fitted[name].predict_proba(strange)
    assert ((probabilities > 0) & (probabilities < 1)).all()


@pytest.mark.parametrize("name", SMALL)
def test_no_events_give_no_probabilities(
    name: str,
    fitted: dict[str, ReturnClassifier],
    test_events: EventSet,
    take_rows: Callable[[EventSet, np.ndarray], EventSet],
) -> None:
    nothing = take_rows(test_events, np.arange(0))
    assert fitted[name].predict_proba(nothing).shape == (0,)


@pytest.mark.parametrize("name", SMALL)
def test_a_probability_does_not_hang_on_the_events_beside_it(
    name: str,
    fitted: dict[str, ReturnClassifier],
    test_events: EventSet,
    take_rows: Callable[[EventSet, np.ndarray], EventSet],
) -> None:
    rows = np.random.default_rng(0).permutation(len(test_events))[:77]
    alone = fitted[name].predict_proba(take_rows(test_events, rows))
    together = fitted[name].predict_proba(test_events)[rows]
    # A matrix product may add in another order for another number of rows.
    np.testing.assert_allclose(alone, together, rtol=1e-5 if name == "mlp" else 0)


@pytest.mark.parametrize("name", SMALL)
def test_other_columns_are_refused(
    name: str, fitted: dict[str, ReturnClassifier], test_events: EventSet
) -> None:
    features = replace(
        test_events.features, numeric_names=("signal", "gaps", "noise", "something else")
    )
    with pytest.raises(ValueError, match="missing \\['more noise'\\]"):
        fitted[name].predict_proba(replace(test_events, features=features))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("labels", [0, 1, -1])
def test_training_needs_both_classes(
    name: str, labels: int, train: EventSet, validation: EventSet
) -> None:
    one_class = replace(train, labels=np.full(len(train), labels, np.int8))
    with pytest.raises(ValueError, match="returned \\(1\\) and kept \\(0\\)"):
        SMALL[name](0).fit(one_class, validation, SilentReporter())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("rows", [0, 5])
def test_validation_needs_labels(
    name: str,
    rows: int,
    train: EventSet,
    validation: EventSet,
    take_rows: Callable[[EventSet, np.ndarray], EventSet],
) -> None:
    unlabelled = take_rows(replace(validation, labels=validation.labels - 1), np.arange(rows))
    with pytest.raises(ValueError, match="validation needs events"):
        SMALL[name](0).fit(train, unlabelled, SilentReporter())


@pytest.mark.parametrize("name", SMALL)
def test_progress_and_validation_loss_are_reported(
    name: str, fitted: dict[str, ReturnClassifier], recorders: dict[str, Recorder]
) -> None:
    assert name in fitted
    recorder = recorders[name]
    completed, total = recorder.done[-1]
    assert completed == total
    assert 1 <= len(recorder.steps) <= 100
    assert recorder.steps == sorted(set(recorder.steps))
    assert all(0 < values["validation_cross_entropy"] < 1 for values in recorder.values)


def test_the_registry_knows_them_all() -> None:
    for name in SMALL:
        assert create(name, seed=3).hyperparameters["seed"] == 3
    assert set(SMALL) < set(MODELS)
