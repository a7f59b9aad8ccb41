"""The stored truth is the return probability under the release's selection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.synthesis.draws import logistic
from data.synthesis.truth import line_return_probability, released_probability

probabilities = st.floats(1e-6, 1 - 1e-6)


@given(probabilities, st.booleans(), st.floats(0, 500))
def test_selection_only_makes_a_return_likelier(p: float, paired: bool, elsewhere: float) -> None:
    released = released_probability(np.array([p]), np.array([paired]), np.array([elsewhere]))[0]
    assert p * (1 - 1e-12) <= released <= 1


@given(probabilities)
def test_the_only_piece_of_a_released_customer_came_back(p: float) -> None:
    released = released_probability(np.array([p]), np.array([False]), np.array([0.0]))
    assert released == pytest.approx(1)


@given(probabilities)
def test_a_second_piece_alone_leaves_the_chance_that_it_was_that_one(p: float) -> None:
    released = released_probability(np.array([p]), np.array([True]), np.array([0.0]))
    assert released == pytest.approx(p / (1 - (1 - p) ** 2))


@pytest.mark.parametrize(("propensity", "expected_lines"), [(-3.0, 2.0), (-1.0, 1.0), (0.5, 6.0)])
def test_formula_agrees_with_a_simulation_of_many_customers(
    propensity: float, expected_lines: float
) -> None:
    """Order, return, select and sample as the generator does, then compare rate and formula."""
    generator = np.random.default_rng(7)
    num_customers, share, second_piece_share = 400_000, 0.3, 0.2
    effect, popularity = np.array([-1.0, 0.5, 1.5]), np.array([0.5, 0.3, 0.2])

    lines = generator.poisson(expected_lines, num_customers)
    line_customer = np.repeat(np.arange(num_customers), lines)
    line_variant = generator.choice(3, size=len(line_customer), p=popularity)
    line_paired = generator.random(len(line_customer)) < second_piece_share
    line_sampled = generator.random(len(line_customer)) < share
    piece = np.repeat(np.arange(len(line_customer)), 1 + line_paired)
    probability = logistic(propensity + effect)[line_variant[piece]]
    returned = generator.random(len(piece)) < probability
    returns = np.bincount(line_customer[piece], weights=returned, minlength=num_customers)
    event = line_sampled[piece] & (returns[line_customer[piece]] > 0)

    line_return = line_return_probability(
        np.array([propensity, propensity + 1]), effect, popularity, second_piece_share
    )[0]
    for paired in (False, True):
        for variant in range(3):
            chosen = event & (line_paired[piece] == paired) & (line_variant[piece] == variant)
            expected = released_probability(
                logistic(np.array([propensity + effect[variant]])),
                np.array([paired]),
                np.array([expected_lines * line_return]),
            )[0]
            # Both pieces of a line are in the sample: fewer independent draws than events.
            error = np.sqrt(expected * (1 - expected) / chosen.sum() * (1 + paired))
            assert abs(returned[chosen].mean() - expected) < 4.5 * error


def test_average_over_what_is_on_sale_is_the_exact_sum() -> None:
    generator = np.random.default_rng(3)
    effect = generator.normal(0, 0.8, 5_000)
    popularity = generator.dirichlet(np.ones(5_000))
    propensity = generator.normal(-0.5, 1.5, 200)
    piece = logistic(propensity[:, None] + effect)
    exact = (piece + 0.01 * piece * (1 - piece)) @ popularity
    measured = line_return_probability(propensity, effect, popularity, 0.01)
    np.testing.assert_allclose(measured, exact, atol=1e-5)
