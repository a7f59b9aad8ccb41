import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.reporter import SilentReporter
from returns.models.registry import MODELS, create, search_space
from returns.models.search_space import Choice, FloatRange, IntegerRange

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, finite, finite)
def test_a_float_range_holds_what_lies_between_its_ends(low, high, value):
    if low >= high:
        with pytest.raises(ValueError, match="finite bounds"):
            FloatRange(low, high)
        return
    found = FloatRange(low, high)
    assert low in found and high in found
    assert (value in found) == (low <= value <= high)
    assert math.nan not in found and math.inf not in found and "1" not in found


@given(st.integers(), st.integers(min_value=1), st.integers())
def test_an_integer_range_holds_whole_numbers_only(low, width, value):
    found = IntegerRange(low, low + width)
    assert low in found and low + width in found
    assert (value in found) == (low <= value <= low + width)
    assert low + 0.5 not in found and True not in found


@pytest.mark.parametrize("kind", [FloatRange, IntegerRange])
@pytest.mark.parametrize("low", [0, -1])
def test_a_logarithmic_range_is_positive(kind, low):
    with pytest.raises(ValueError, match="positive"):
        kind(low, 10, log=True)


@pytest.mark.parametrize("values", [(), (1, 2, 1)])
def test_a_choice_needs_values_each_once(values):
    with pytest.raises(ValueError, match="each once"):
        Choice(values)


def test_a_choice_holds_its_values():
    assert "mean" in Choice(("mean", "max", None))
    assert None in Choice(("mean", "max", None))
    assert "sum" not in Choice(("mean", "max", None))


@pytest.mark.parametrize("name", MODELS)
def test_a_search_space_contains_the_default(name):
    defaults = create(name).hyperparameters
    for parameter, values in search_space(name).items():
        assert defaults[parameter] in values, parameter


def drawn(space):
    """Any configuration inside a search space."""
    strategies = {}
    for parameter, values in space.items():
        if isinstance(values, FloatRange):
            strategies[parameter] = st.floats(values.low, values.high)
        elif isinstance(values, IntegerRange):
            strategies[parameter] = st.integers(values.low, values.high)
        else:
            strategies[parameter] = st.sampled_from(values.values)
    return st.fixed_dictionaries(strategies)


@given(st.data())
@pytest.mark.parametrize("name", MODELS)
def test_every_configuration_of_a_search_space_makes_a_model(name, data):
    chosen = data.draw(drawn(search_space(name)))
    made = create(name, seed=5, **chosen).hyperparameters
    assert made == {**create(name, seed=5).hyperparameters, **chosen}


@pytest.mark.parametrize("name", ["logistic", "forest", "mlp", "xgboost", "lightgbm"])
@pytest.mark.parametrize("end", [0, -1])
def test_the_far_corners_of_a_search_space_can_be_fitted(name, end, train, validation, take_rows):
    corner = {
        parameter: values.values[end]
        if isinstance(values, Choice)
        else (values.low, values.high)[end]
        for parameter, values in search_space(name).items()
    }
    model = create(name, epochs=1, **corner)
    some = take_rows(train, np.arange(500))
    model.fit(some, validation, SilentReporter())
    assert np.isfinite(model.predict_proba(validation)).all()
