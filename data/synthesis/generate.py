"""The whole way: population and catalogue, two order books, one release on disk."""

from pathlib import Path

import numpy as np

from data.reporter import Reporter
from data.sources.release.layout import PERIODS
from data.synthesis.catalogue import Catalogue, draw_catalogue
from data.synthesis.files import ReleaseWriter
from data.synthesis.identifiers import Identifiers
from data.synthesis.orders import place_orders
from data.synthesis.parameters import Parameters
from data.synthesis.population import Population, draw_population
from data.synthesis.release import Release, choose_product_rows, release_half

GENERATOR_VERSION = 1
"""Raised whenever the same scale and seed give other files."""

SMALLEST_SCALE = 0.001
"""About 1,400 events a half; below that some levels would be empty."""

TASK = "generate twin"


def generate_release(scale: float, seed: int, folder: Path, reporter: Reporter) -> None:
    """Simulate the shop and write its release: six tables as CSV, two files of truth.

    Args:
        scale: Size relative to ASOS GraphReturns, at least `SMALLEST_SCALE`.
        seed: Seed of all randomness; the same scale and seed give the same bytes.
        folder: Existing folder to write into.
        reporter: Told of progress.
    """
    parameters = Parameters()
    reporter.progress(TASK, 0, 2)
    population, catalogue, release = simulate_release(parameters, scale, seed)
    reporter.progress(TASK, 1, 2)
    identifiers = Identifiers(_generator(seed, "identifiers"))
    ReleaseWriter(population, catalogue, parameters, identifiers, folder).write(release)
    reporter.progress(TASK, 2, 2)


def simulate_release(
    parameters: Parameters, scale: float, seed: int
) -> tuple[Population, Catalogue, Release]:
    """Simulate the shop and decide what is released.

    Args:
        parameters: Constants.
        scale: Size relative to ASOS GraphReturns.
        seed: Seed; each part draws from a stream of its own.
    """
    population = draw_population(
        parameters.population, parameters.reasons, scale, _generator(seed, "population")
    )
    catalogue = draw_catalogue(
        parameters.catalogue, parameters.reasons, scale, _generator(seed, "catalogue")
    )
    halves = []
    for half, period in enumerate(PERIODS):
        orders = _generator(seed, f"orders {period}")
        book = place_orders(half, population, catalogue, parameters, orders)
        choice = _generator(seed, f"release {period}")
        halves.append(release_half(half, book, population, catalogue, parameters, choice))
    (training, in_training), (testing, in_testing) = halves
    variant_totals = in_training + in_testing
    has_product_row = choose_product_rows(
        variant_totals, catalogue, parameters, _generator(seed, "product rows")
    )
    return population, catalogue, Release((training, testing), variant_totals, has_product_row)


def _generator(seed: int, part: str) -> np.random.Generator:
    """A stream of its own for a part of the simulation, whatever the other parts draw."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(part.encode())))
