"""The customers: how active they are, how readily they return, and what their node rows say."""

from dataclasses import dataclass

import numpy as np

from data.synthesis.draws import draw_levels
from data.synthesis.parameters import PopulationParameters, ReasonParameters
from data.synthesis.reasons import draw_favourites

REFERENCE_YEAR = 2024
"""The year in which ages are counted, as the statistics of the release do."""

UNKNOWN_BIRTH = 1900


@dataclass(frozen=True)
class Population:
    """Everybody active in at least one half; arrays of shape `(num_customers,)` unless said.

    Attributes:
        expected_lines: Expected order lines in each half, float32 `(2, num_customers)`; 0 where
            the customer is not active.
        log_activity: Lasting logarithm of the activity, centred, float32.
        is_keeper: Whether the customer hardly ever returns, bool; the clientele.
        propensity: Logit of returning a variant of effect 0 in the first half, float32.
        year_of_birth: As released, sentinel and impossible years included, int16.
        is_male: 0 or 1, int8.
        premier: 0 or 1, int8.
        country: Position in `PopulationParameters.countries`, int8.
        favourite_reason: Position in `REASONS`, int8.
    """

    expected_lines: np.ndarray
    log_activity: np.ndarray
    is_keeper: np.ndarray
    propensity: np.ndarray
    year_of_birth: np.ndarray
    is_male: np.ndarray
    premier: np.ndarray
    country: np.ndarray
    favourite_reason: np.ndarray

    def __len__(self) -> int:
        """Number of customers."""
        return len(self.propensity)


def draw_population(
    parameters: PopulationParameters,
    reasons: ReasonParameters,
    scale: float,
    generator: np.random.Generator,
) -> Population:
    """Draw the population.

    Args:
        parameters: Constants.
        reasons: Constants of the return reasons.
        scale: Size relative to the release.
        generator: Source of randomness.
    """
    num_customers = max(1, round(parameters.customers * scale))
    log_activity = _draw_log_activity(parameters, num_customers, generator)
    age = parameters.age_minimum + generator.lognormal(
        np.log(parameters.age_median), parameters.age_sigma, num_customers
    )
    is_keeper = generator.random(num_customers) < parameters.keeper_share
    is_male = generator.random(num_customers) < parameters.male_share
    country_shares = np.array([country.share for country in parameters.countries])
    country = draw_levels(country_shares, num_customers, generator)
    propensity = (
        parameters.propensity
        + parameters.propensity_sigma * generator.standard_normal(num_customers)
        + parameters.propensity_of_activity * log_activity
        + parameters.keeper_effect * is_keeper
        + parameters.male_effect * is_male
        + np.array(parameters.age_effects)[np.digitize(age, parameters.age_bands)]
        + np.array([level.effect for level in parameters.countries])[country]
    )
    return Population(
        expected_lines=_draw_expected_lines(parameters, log_activity, generator),
        log_activity=log_activity.astype(np.float32),
        is_keeper=is_keeper,
        propensity=propensity.astype(np.float32),
        year_of_birth=_draw_released_birth_year(parameters, age, generator),
        is_male=is_male.astype(np.int8),
        premier=(generator.random(num_customers) < parameters.premier_share).astype(np.int8),
        country=country,
        favourite_reason=draw_favourites(reasons, num_customers, generator),
    )


def _draw_log_activity(
    parameters: PopulationParameters, number: int, generator: np.random.Generator
) -> np.ndarray:
    reseller = generator.random(number) < parameters.reseller_share
    ordinary = parameters.activity_sigma * generator.standard_normal(number)
    return np.asarray(ordinary + np.log(parameters.reseller_factor) * reseller)


def _draw_expected_lines(
    parameters: PopulationParameters, log_activity: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    number = len(log_activity)
    noise = parameters.period_sigma * generator.standard_normal((2, number), dtype=np.float32)
    lines = parameters.order_lines * np.exp(log_activity.astype(np.float32) + noise)
    chance = generator.random(number)
    only_second = chance < parameters.active_in_testing_only
    both = chance >= 1 - parameters.active_in_both
    return np.asarray(lines * np.stack([~only_second, only_second | both]))


def _draw_released_birth_year(
    parameters: PopulationParameters, age: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    year = np.floor(REFERENCE_YEAR - np.minimum(age, 100)).astype(np.int16)
    odd = generator.random(len(age)) < parameters.odd_birth_share
    year[odd] = generator.integers(1890, 2021, odd.sum())
    year[generator.random(len(age)) < parameters.unknown_birth_share] = UNKNOWN_BIRTH
    return np.asarray(year)
