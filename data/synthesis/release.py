"""From the order books to the release: selection, aggregates, sampled events, missing rows."""

from dataclasses import dataclass

import numpy as np

from data.synthesis.catalogue import Catalogue
from data.synthesis.draws import logistic
from data.synthesis.orders import OrderBook, half_propensity
from data.synthesis.parameters import REASONS, Parameters
from data.synthesis.population import Population
from data.synthesis.reasons import draw_reasons
from data.synthesis.truth import line_return_probability, released_probability


@dataclass(frozen=True)
class Totals:
    """Aggregates of customers or variants over a whole order book.

    Attributes:
        sales: Pieces ordered, int64 `(num_nodes,)`.
        returns: Pieces returned, int64 `(num_nodes,)`.
        reasons: Returns by reason, int32 `(num_nodes, num_reasons)`.
    """

    sales: np.ndarray
    returns: np.ndarray
    reasons: np.ndarray

    def __add__(self, other: "Totals") -> "Totals":
        """Totals over two books about the same nodes."""
        return Totals(
            self.sales + other.sales, self.returns + other.returns, self.reasons + other.reasons
        )

    def of(self, node: np.ndarray) -> "Totals":
        """Totals of some of the nodes."""
        return Totals(self.sales[node], self.returns[node], self.reasons[node])


@dataclass(frozen=True)
class ReleasedHalf:
    """What is released of one half.

    Attributes:
        customer: Customer of each event, int32 `(num_events,)`.
        variant: Variant of each event, int32 `(num_events,)`.
        returned: Label of each event, bool `(num_events,)`.
        probability: True probability of each event, float64 `(num_events,)`.
        row_customer: Customer of each customer row, int32 `(num_rows,)`.
        row_totals: Aggregates of each customer row over this half.
    """

    customer: np.ndarray
    variant: np.ndarray
    returned: np.ndarray
    probability: np.ndarray
    row_customer: np.ndarray
    row_totals: Totals


@dataclass(frozen=True)
class Release:
    """What is released of both halves.

    Attributes:
        halves: Training and testing.
        variant_totals: Aggregates of every variant over both halves.
        has_product_row: Whether a variant has a row in each half's file, bool
            `(2, num_variants)`.
    """

    halves: tuple[ReleasedHalf, ReleasedHalf]
    variant_totals: Totals
    has_product_row: np.ndarray


def release_half(
    half: int,
    book: OrderBook,
    population: Population,
    catalogue: Catalogue,
    parameters: Parameters,
    generator: np.random.Generator,
) -> tuple[ReleasedHalf, Totals]:
    """Release one half.

    Released are the sampled events of customers with a return, in order of the variants, and the
    rows of those customers, in order of their first event, but for rows that go missing.

    Args:
        half: 0 for training, 1 for testing.
        book: The half's order book.
        population: Who ordered.
        catalogue: What was ordered.
        parameters: Constants.
        generator: Source of randomness.

    Returns:
        The released half, and the variants' totals over the whole book.
    """
    sales = np.bincount(book.customer, minlength=len(population))
    returns = np.bincount(book.customer[book.returned], minlength=len(population))
    event = np.flatnonzero(book.sampled & (returns > 0)[book.customer])
    event = event[np.argsort(book.variant[event], kind="stable")]
    customer, variant = book.customer[event], book.variant[event]
    _, first_event = np.unique(customer, return_index=True)
    released = customer[np.sort(first_event)]
    row_customer = released[
        generator.random(len(released)) >= _missing_share(released, population, parameters)
    ]
    reason_of_customer, reason_of_variant = _count_reasons(
        book, row_customer, population, catalogue, parameters, generator
    )
    lines_with_return = _expect_lines_with_return(half, population, catalogue, parameters)
    released_half = ReleasedHalf(
        customer=customer,
        variant=variant,
        returned=book.returned[event],
        probability=released_probability(
            book.probability[event], book.paired[event], lines_with_return[customer]
        ),
        row_customer=row_customer,
        row_totals=Totals(sales[row_customer], returns[row_customer], reason_of_customer),
    )
    num_variants = len(catalogue)
    totals = Totals(
        np.bincount(book.variant, minlength=num_variants),
        np.bincount(book.variant[book.returned], minlength=num_variants),
        reason_of_variant,
    )
    return released_half, totals


def choose_product_rows(
    totals: Totals, catalogue: Catalogue, parameters: Parameters, generator: np.random.Generator
) -> np.ndarray:
    """Choose which variants have a node row in each half's file.

    Only variants with a return have one. Of those, a row is missing in both files at random, more
    often for little sold variants and for those on their way out, and in one file alone seldom.

    Args:
        totals: Of the variants, over both halves.
        catalogue: The variants.
        parameters: Constants.
        generator: Source of randomness.

    Returns:
        bool `(2, num_variants)`.
    """
    constants = parameters.release
    of_product = constants.product_row_missing_sigma * generator.standard_normal(
        len(catalogue.supplier)
    )
    missing = logistic(
        constants.product_row_missing
        + constants.product_row_missing_of_popularity * catalogue.log_popularity
        + constants.product_row_missing_of_drift * catalogue.drift
        + of_product[catalogue.product]
    )
    kept = (totals.returns > 0) & (generator.random(len(catalogue)) >= missing)
    return kept & (generator.random((2, len(catalogue))) >= constants.product_row_left_out)


def _expect_lines_with_return(
    half: int, population: Population, catalogue: Catalogue, parameters: Parameters
) -> np.ndarray:
    """Expected number of each customer's order lines with a return, float64."""
    propensity = half_propensity(population, half, parameters)
    share = np.empty(len(population))
    for clientele, popularity in zip(
        (~population.is_keeper, population.is_keeper), catalogue.popularity[half], strict=True
    ):
        share[clientele] = line_return_probability(
            propensity[clientele],
            catalogue.effect,
            popularity,
            parameters.release.second_piece_share,
        )
    return np.asarray(population.expected_lines[half] * share)


def _missing_share(
    customer: np.ndarray, population: Population, parameters: Parameters
) -> np.ndarray:
    constants = parameters.release
    return logistic(
        constants.customer_row_missing
        + constants.customer_row_missing_of_propensity * population.propensity[customer]
        + constants.customer_row_missing_of_activity * population.log_activity[customer]
    )


def _count_reasons(
    book: OrderBook,
    row_customer: np.ndarray,
    population: Population,
    catalogue: Catalogue,
    parameters: Parameters,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw every return's reason and count them by customer row and by variant."""
    customer, variant = book.customer[book.returned], book.variant[book.returned]
    reason = draw_reasons(
        parameters.reasons,
        population.favourite_reason[customer],
        catalogue.favourite_reason[catalogue.product[variant]],
        catalogue.effect[variant],
        generator,
    )
    row_of_customer = np.full(len(population), -1, dtype=np.int32)
    row_of_customer[row_customer] = np.arange(len(row_customer), dtype=np.int32)
    row = row_of_customer[customer]
    of_customer = _count_pairs(row[row >= 0], reason[row >= 0], len(row_customer))
    return of_customer, _count_pairs(variant, reason, len(catalogue))


def _count_pairs(node: np.ndarray, reason: np.ndarray, num_nodes: int) -> np.ndarray:
    code = node.astype(np.int64) * len(REASONS) + reason
    counts = np.bincount(code, minlength=num_nodes * len(REASONS))
    return counts.astype(np.int32).reshape(num_nodes, len(REASONS))
