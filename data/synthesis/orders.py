"""The order book of one half: who ordered what, and what came back."""

from dataclasses import dataclass

import numpy as np

from data.synthesis.catalogue import Catalogue
from data.synthesis.draws import logistic
from data.synthesis.parameters import Parameters
from data.synthesis.population import Population


@dataclass(frozen=True)
class OrderBook:
    """Every piece ordered in one half; arrays of shape `(num_pieces,)`, grouped by customer.

    Attributes:
        customer: Customer, int32, ascending.
        variant: Variant, int32.
        probability: Probability of being returned, float32.
        returned: Whether it was, bool; drawn from `probability`, each piece by itself.
        paired: Whether the order line has two pieces, bool.
        sampled: Whether the order line was sampled as an event, bool; independent of `returned`.
    """

    customer: np.ndarray
    variant: np.ndarray
    probability: np.ndarray
    returned: np.ndarray
    paired: np.ndarray
    sampled: np.ndarray


def place_orders(
    half: int,
    population: Population,
    catalogue: Catalogue,
    parameters: Parameters,
    generator: np.random.Generator,
) -> OrderBook:
    """Draw one half's order book.

    A customer's order lines are a Poisson number of independent draws from the popularity of the
    half with the customer's clientele; `data.synthesis.truth` rests on that.

    Args:
        half: 0 for training, 1 for testing.
        population: Who orders.
        catalogue: What is ordered.
        parameters: Constants.
        generator: Source of randomness.
    """
    expected = population.expected_lines[half]
    lines = generator.poisson(expected)
    num_lines = int(lines.sum())
    by_keeper = np.repeat(population.is_keeper, lines)
    variant = np.empty(num_lines, dtype=np.int32)
    for clientele, popularity in zip(
        (~by_keeper, by_keeper), catalogue.popularity[half], strict=True
    ):
        variant[clientele] = _draw_variants(popularity, int(clientele.sum()), generator)
    paired = generator.random(num_lines, np.float32) < parameters.release.second_piece_share
    sampled_share = sampling_share(expected, parameters)
    sampled = generator.random(num_lines, np.float32) < np.repeat(sampled_share, lines)
    customer = np.repeat(np.arange(len(population), dtype=np.int32), lines)
    logit = np.repeat(half_propensity(population, half, parameters), lines)
    logit += catalogue.effect[variant]
    probability = logistic(logit)
    pieces = 1 + paired
    probability = np.repeat(probability, pieces)
    return OrderBook(
        customer=np.repeat(customer, pieces),
        variant=np.repeat(variant, pieces),
        probability=probability,
        returned=generator.random(len(probability), np.float32) < probability,
        paired=np.repeat(paired, pieces),
        sampled=np.repeat(sampled, pieces),
    )


def half_propensity(population: Population, half: int, parameters: Parameters) -> np.ndarray:
    """Each customer's logit of returning a variant of effect 0 in one half, float32."""
    shift = np.float32(parameters.population.testing_effect * half)
    return np.asarray(population.propensity + shift)


def sampling_share(expected_lines: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Probability that an order line becomes an event, per customer, float32."""
    saturation = parameters.release.sampling_saturation
    return np.asarray(parameters.release.sampled_share / (1 + expected_lines / saturation))


def _draw_variants(
    popularity: np.ndarray, number: int, generator: np.random.Generator
) -> np.ndarray:
    """Independent draws by popularity, int32: multinomial counts in random order."""
    counts = generator.multinomial(number, popularity)
    return generator.permutation(np.repeat(np.arange(len(counts), dtype=np.int32), counts))
