"""Every account adds up to the log-odds, and names the cause that was planted."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit, logit

from data.reporter import SilentReporter
from returns.event_set import EventSet, FeatureMatrix
from returns.models.base import ReturnClassifier
from returns.models.forest import Forest
from returns.models.lightgbm_trees import LightGBM
from returns.models.linear import Logistic
from returns.models.mlp import MLP
from returns.models.xgboost_trees import XGBoost
from returns.reasons.contributions import Contributions, Explainable, mixed
from returns.reasons.per_event import contributions_of, main_reasons, spoken_values

SMALL: Mapping[str, Callable[[], ReturnClassifier]] = {
    "logistic": lambda: Logistic(0),
    "mlp": lambda: MLP(0, epochs=4, hidden_width=32, batch_size=128),
    "xgboost": lambda: XGBoost(0, rounds=40, max_depth=4),
    "lightgbm": lambda: LightGBM(0, rounds=40, num_leaves=15, min_leaf_events=40),
}
LEVELS = ("A", "B", "C")
PLANTED = ("signal", "kind")


def nothing(*_: object) -> object:
    raise AssertionError("a model of feature columns must not ask for graphs or neighbours")


def synthetic_events(seed: int, num_events: int) -> EventSet:
    """Log-odds are made by one quantity and one level; the other columns are noise."""
    random = np.random.default_rng(seed)
    numeric = random.normal(size=(num_events, 3)).astype(np.float32)
    codes = random.integers(-1, 3, size=(num_events, 2)).astype(np.int32)
    log_odds = 1.5 * numeric[:, 1] + np.array([-1.5, 0.0, 1.5, 0.0])[codes[:, 0]]
    numeric[random.random(num_events) < 0.2, 0] = np.nan
    labels = (random.random(num_events) < expit(log_odds)).astype(np.int8)
    features = FeatureMatrix(
        numeric, codes, ("gaps", "signal", "noise"), ("kind", "other"), (LEVELS,) * 2
    )
    weights = np.ones(num_events, np.float32)
    return EventSet(features, labels, weights, nothing, nothing)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def events() -> EventSet:
    return synthetic_events(2, 500)


@pytest.fixture(scope="module")
def fitted() -> dict[str, ReturnClassifier]:
    train, validation = synthetic_events(0, 3000), synthetic_events(1, 1000)
    models = {name: make() for name, make in SMALL.items()}
    for model in models.values():
        model.fit(train, validation, SilentReporter())
    return models


@pytest.mark.parametrize("name", SMALL)
def test_the_account_adds_up_to_the_log_odds(
    name: str, fitted: dict[str, ReturnClassifier], events: EventSet
) -> None:
    found = contributions_of(fitted[name], events, temperature=1.0)
    expected = logit(fitted[name].predict_proba(events))
    assert found.log_odds.shape == (len(events), 5)
    # Single precision where the library adds up in it; integrated gradients have kinks in ReLU.
    tolerance = {"logistic": 1e-12, "lightgbm": 1e-6, "xgboost": 1e-5, "mlp": 1e-2}[name]
    np.testing.assert_allclose(found.total, expected, atol=tolerance)


@pytest.mark.parametrize("name", SMALL)
def test_the_planted_causes_come_first(
    name: str, fitted: dict[str, ReturnClassifier], events: EventSet
) -> None:
    found = contributions_of(fitted[name], events, temperature=1.0)
    mean = dict(zip(found.causes, np.abs(found.log_odds).mean(axis=0), strict=True))
    others = max(value for cause, value in mean.items() if cause not in PLANTED)
    for cause in PLANTED:
        assert mean[cause] > 3 * others
    signal = found.causes.index("signal")
    quantity = events.features.numeric[:, 1]
    assert np.corrcoef(found.log_odds[:, signal], quantity)[0, 1] > 0.9
    first = found.strongest(1)[:, 0]
    clear = np.abs(quantity) > 1.5
    assert np.isin(np.asarray(found.causes)[first[clear]], PLANTED).mean() > 0.95


@pytest.mark.parametrize("name", SMALL)
def test_an_account_does_not_depend_on_the_events_beside_it(
    name: str, fitted: dict[str, ReturnClassifier], events: EventSet
) -> None:
    rows = np.array([7, 3, 400])
    alone = contributions_of(fitted[name], events, 1.0, rows)
    among = contributions_of(fitted[name], events, 1.0)
    np.testing.assert_allclose(alone.log_odds, among.log_odds[rows], atol=1e-6)


def test_no_events_have_no_reasons(fitted: dict[str, ReturnClassifier], events: EventSet) -> None:
    nothing = np.arange(0)
    for model in fitted.values():
        found = contributions_of(model, events, 1.0, nothing)
        assert found.log_odds.shape == (0, 5)
        assert len(main_reasons(found, events.features.part(nothing), 3)) == 0


def test_the_temperature_divides_every_part(
    fitted: dict[str, ReturnClassifier], events: EventSet
) -> None:
    plain, flat = (contributions_of(fitted["logistic"], events, each) for each in (1.0, 2.0))
    np.testing.assert_allclose(flat.log_odds, plain.log_odds / 2)
    np.testing.assert_allclose(flat.base, plain.base / 2)


def test_a_model_without_an_account_says_so(events: EventSet) -> None:
    assert not isinstance(Forest(0), Explainable)
    with pytest.raises(TypeError, match="'forest' gives no reasons"):
        contributions_of(Forest(0), events, 1.0)


def test_an_average_of_models_adds_up_causes_of_one_name() -> None:
    one = Contributions(("a", "b"), np.array([[1.0, 2.0]]), np.array([0.5]))
    other = Contributions(("b", "c"), np.array([[4.0, 8.0]]), np.array([1.0]))
    found = mixed([(0.75, one), (0.25, other)])
    assert found.causes == ("a", "b", "c")
    np.testing.assert_allclose(found.log_odds, [[0.75, 2.5, 2.0]])
    np.testing.assert_allclose(found.total, 0.75 * one.total + 0.25 * other.total)


def test_an_account_that_names_a_cause_twice_keeps_its_total() -> None:
    one = Contributions(("a", "b", "a"), np.array([[1.0, 2.0, 4.0]]), np.array([0.5]))
    found = mixed([(1.0, one)])
    assert found.causes == ("a", "b")
    np.testing.assert_allclose(found.log_odds, [[5.0, 2.0]])


def test_main_reasons_are_ordered_and_carry_their_values() -> None:
    features = FeatureMatrix(
        np.array([[1.5, np.nan], [2.0, 3.0]], np.float32),
        np.array([[1], [-1]], np.int32),
        ("price", "age"),
        ("size",),
        (("m", "l"),),
    )
    log_odds = np.array([[0.1, -0.7, 0.3, 0.0], [0.0, 0.2, 0.0, -0.5]])
    account = Contributions(("price", "age", "size", "customer"), log_odds, np.zeros(2))
    found = main_reasons(account, features, 3).to_pylist()
    assert [(each["cause"], each["value"]) for each in found[0]] == [
        ("age", None),
        ("size", "l"),
        ("price", "1.5"),
    ]
    assert [(each["cause"], each["value"]) for each in found[1]] == [
        ("customer", None),
        ("age", "3"),
    ]
    assert [each["log_odds"] for each in found[1]] == [-0.5, 0.2]
    assert spoken_values(features, "size", np.array([1, 0])).to_pylist() == [None, "l"]


def test_values_are_those_that_are_worded_one_by_one(events: EventSet) -> None:
    """Whatever repeats, is unknown, or is a zero of either sign."""
    random = np.random.default_rng(6)
    numeric = random.choice([0.0, -0.0, np.nan, 1 / 3, 1e-9, 123456789.0], (300, 3))
    features = replace(events.features.part(np.arange(300)), numeric=numeric.astype(np.float32))
    words = pa.array([f"word {number % 7}" for number in range(300)])
    causes = (*features.numeric_names, *features.categorical_names, "past", "elsewhere")
    log_odds = random.choice([-0.5, 0.0, 0.25, 2.0], (300, len(causes)))
    account = Contributions(causes, log_odds, np.zeros(300), {"past": words})
    found = main_reasons(account, features, 4).to_pylist()
    for row, order in enumerate(account.strongest(4)):
        expected = [
            {"cause": causes[cause], "value": worded(features, words, causes[cause], row),
             "log_odds": log_odds[row, cause]}
            for cause in order
            if log_odds[row, cause]
        ]  # fmt: skip
        assert found[row] == expected


def worded(features: FeatureMatrix, words: pa.Array, cause: str, row: int) -> str | None:
    if cause == "past":
        return str(words[row].as_py())
    if cause in features.numeric_names:
        number = features.numeric[row, features.numeric_names.index(cause)]
        return None if np.isnan(number) else f"{number:.6g}"
    if cause in features.categorical_names:
        code = features.categorical[row, features.categorical_names.index(cause)]
        return None if code < 0 else LEVELS[code]
    return None
