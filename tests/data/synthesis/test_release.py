"""What the release keeps of the order books agrees with a recount of them."""

from dataclasses import replace

import numpy as np
import pytest

from data.synthesis.catalogue import Catalogue, draw_catalogue
from data.synthesis.generate import simulate_release
from data.synthesis.orders import OrderBook, place_orders
from data.synthesis.parameters import Parameters
from data.synthesis.population import Population, draw_population
from data.synthesis.release import ReleasedHalf, Totals, release_half

SCALE = 0.01
PARAMETERS = Parameters()


@pytest.fixture(scope="module")
def population() -> Population:
    generator = np.random.default_rng(0)
    return draw_population(PARAMETERS.population, PARAMETERS.reasons, SCALE, generator)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    generator = np.random.default_rng(1)
    return draw_catalogue(PARAMETERS.catalogue, PARAMETERS.reasons, SCALE, generator)


@pytest.fixture(scope="module")
def book(population: Population, catalogue: Catalogue) -> OrderBook:
    return place_orders(1, population, catalogue, PARAMETERS, np.random.default_rng(2))


@pytest.fixture(scope="module")
def released(
    book: OrderBook, population: Population, catalogue: Catalogue
) -> tuple[ReleasedHalf, Totals]:
    return release_half(1, book, population, catalogue, PARAMETERS, np.random.default_rng(3))


def test_only_active_customers_order(population: Population, book: OrderBook) -> None:
    assert (population.expected_lines[1][book.customer] > 0).all()
    assert (population.expected_lines[:, :].max(axis=0) > 0).all()


def test_labels_follow_the_probability_of_the_order(book: OrderBook) -> None:
    tenth = np.minimum(book.probability * 10, 9).astype(int)
    for bin_ in range(10):
        chosen = tenth == bin_
        expected = book.probability[chosen].mean(dtype=np.float64)
        error = np.sqrt(expected * (1 - expected) / chosen.sum())
        assert abs(book.returned[chosen].mean() - expected) < 4 * error


def test_sampling_does_not_look_at_the_outcome(book: OrderBook) -> None:
    """The mean of label less probability is 0 among sampled pieces as among all."""
    surprise = book.returned[book.sampled] - book.probability[book.sampled].astype(np.float64)
    assert abs(surprise.mean()) < 4 * surprise.std() / np.sqrt(len(surprise))


def test_variants_are_ordered_by_their_popularity(
    population: Population, catalogue: Catalogue, book: OrderBook
) -> None:
    for keepers in (False, True):
        orders = book.variant[population.is_keeper[book.customer] == keepers]
        counts = np.bincount(orders, minlength=len(catalogue))
        expected = catalogue.popularity[1, int(keepers)] * len(orders)
        much = expected > 100
        assert much.sum() > 20
        z = (counts[much] - expected[much]) / np.sqrt(expected[much])
        # Two-piece lines add .75 % to the variance.
        assert 0.75 < np.mean(z**2) < 1.35


def test_released_are_exactly_the_sampled_pieces_of_customers_with_a_return(
    book: OrderBook, released: tuple[ReleasedHalf, Totals]
) -> None:
    half, _ = released
    returners = np.unique(book.customer[book.returned])
    chosen = book.sampled & np.isin(book.customer, returners)
    expected = np.stack([book.variant[chosen], book.customer[chosen], book.returned[chosen]])
    found = np.stack([half.variant, half.customer, half.returned])
    assert (found[:, np.lexsort(found)] == expected[:, np.lexsort(expected)]).all()


def test_events_are_grouped_by_product(
    catalogue: Catalogue, released: tuple[ReleasedHalf, Totals]
) -> None:
    product = catalogue.product[released[0].variant]
    assert (np.diff(product) >= 0).all()


def test_customer_rows_count_the_whole_book_own_labels_included(
    book: OrderBook, released: tuple[ReleasedHalf, Totals]
) -> None:
    half, _ = released
    for row in np.linspace(0, len(half.row_customer) - 1, 50).astype(int):
        own = book.customer == half.row_customer[row]
        assert half.row_totals.sales[row] == own.sum()
        assert half.row_totals.returns[row] == book.returned[own].sum() > 0
        assert half.row_totals.reasons[row].sum() == half.row_totals.returns[row]
    assert len(np.unique(half.row_customer)) == len(half.row_customer)
    assert np.isin(half.row_customer, half.customer).all()


def test_variant_totals_count_the_whole_book(
    book: OrderBook, released: tuple[ReleasedHalf, Totals]
) -> None:
    _, totals = released
    assert totals.sales.sum() == len(book.customer)
    assert (totals.reasons.sum(axis=1) == totals.returns).all()
    variant = int(totals.sales.argmax())
    assert totals.returns[variant] == book.returned[book.variant == variant].sum()


def test_product_rows_need_a_return_in_either_half() -> None:
    _, catalogue, release = simulate_release(PARAMETERS, SCALE, seed=4)
    assert (release.variant_totals.returns[release.has_product_row.any(axis=0)] > 0).all()
    assert release.variant_totals.sales.shape == (len(catalogue),)


def test_propensity_lasts_from_half_to_half() -> None:
    """Customers who returned more than expected of their profile do so again in the other half."""
    _, _, release = simulate_release(PARAMETERS, SCALE, seed=5)
    first, second = release.halves
    _, in_first, in_second = np.intersect1d(
        first.row_customer, second.row_customer, return_indices=True
    )
    rates = [
        half.row_totals.returns[rows] / half.row_totals.sales[rows]
        for half, rows in ((first, in_first), (second, in_second))
    ]
    assert np.corrcoef(rates)[0, 1] > 0.3


def test_parts_draw_from_streams_of_their_own() -> None:
    """A change of the orders' constants leaves population and catalogue as they were."""
    release = replace(PARAMETERS.release, sampled_share=0.5)
    first, other = (
        simulate_release(parameters, 0.002, seed=6)
        for parameters in (PARAMETERS, replace(PARAMETERS, release=release))
    )
    assert (first[0].propensity == other[0].propensity).all()
    assert (first[1].effect == other[1].effect).all()
    assert len(first[2].halves[0].customer) < len(other[2].halves[0].customer)
