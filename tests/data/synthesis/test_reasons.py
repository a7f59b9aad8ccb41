"""Return reasons: mean shares, favourites, and the one that tells of little returned variants."""

import numpy as np

from data.synthesis.parameters import REASON_K, REASONS, ReasonParameters
from data.synthesis.reasons import draw_favourites, draw_reasons

NUMBER = 200_000


def _draw(parameters: ReasonParameters, effect: float, favourite: int | None = None) -> np.ndarray:
    generator = np.random.default_rng(0)
    if favourite is None:
        favourites = draw_favourites(parameters, NUMBER, generator)
    else:
        favourites = np.full(NUMBER, favourite, dtype=np.int8)
    effects = np.full(NUMBER, effect, dtype=np.float32)
    return draw_reasons(parameters, favourites, favourites, effects, generator)


def test_shares_are_those_of_the_parameters() -> None:
    parameters = ReasonParameters()
    shares = np.bincount(_draw(parameters, effect=0.0), minlength=len(REASONS)) / NUMBER
    expected = np.array(parameters.shares) / sum(parameters.shares)
    np.testing.assert_allclose(shares, expected, atol=0.005)


def test_reason_k_falls_with_the_effect_of_the_variant() -> None:
    parameters = ReasonParameters()
    low, high = ((_draw(parameters, effect) == REASON_K).mean() for effect in (-1.0, 1.0))
    assert low > 3 * high > 0


def test_favourites_are_drawn_more_often_and_never_k() -> None:
    parameters = ReasonParameters()
    assert not (draw_favourites(parameters, NUMBER, np.random.default_rng(1)) == REASON_K).any()
    share = (_draw(parameters, effect=0.0, favourite=7) == 7).mean()
    assert share > 0.9 * (parameters.of_customer + parameters.of_product)
