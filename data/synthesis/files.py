"""The release's six tables as CSV, in its own columns, and the truth in files of its own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from data.sources.release.layout import BRANDS, COUNTRIES, PERIODS, PRODUCT_TYPES
from data.synthesis.catalogue import Catalogue
from data.synthesis.identifiers import Identifiers
from data.synthesis.parameters import REASONS, Parameters
from data.synthesis.population import Population
from data.synthesis.release import Release, ReleasedHalf, Totals

Column = tuple[str, np.ndarray | pa.Array]

PROBABILITY = "probability"
"""The one column of the files of truth, float64, in the row order of the event table."""

TRUTH_FILES = tuple(f"true_probability_{period}.parquet" for period in PERIODS)

TABLE_FILES = tuple(
    f"{table}_{period}.csv"
    for table in ("event_table", "customer_nodes", "product_nodes")
    for period in PERIODS
)


class ReleaseWriter:
    """Writes a simulated release."""

    def __init__(
        self,
        population: Population,
        catalogue: Catalogue,
        parameters: Parameters,
        identifiers: Identifiers,
        folder: Path,
    ) -> None:
        """Say what is written where.

        Args:
            population: The customers.
            catalogue: The variants.
            parameters: Constants, for the names of levels.
            identifiers: Ids of both.
            folder: Existing folder to write into.
        """
        self._population = population
        self._catalogue = catalogue
        self._parameters = parameters
        self._identifiers = identifiers
        self._folder = folder

    def write(self, release: Release) -> None:
        """Write the six tables and the two files of truth."""
        for period, half, has_row in zip(
            PERIODS, release.halves, release.has_product_row, strict=True
        ):
            self._write(f"event_table_{period}", self._event_columns(half))
            self._write(f"customer_nodes_{period}", self._customer_columns(half))
            variant = np.flatnonzero(has_row)
            totals = release.variant_totals.of(variant)
            self._write(f"product_nodes_{period}", self._product_columns(variant, totals))
            truth = pa.table({PROBABILITY: half.probability})
            pq.write_table(truth, self._folder / f"true_probability_{period}.parquet")

    def _write(self, stem: str, columns: Sequence[Column]) -> None:
        names = [name for name, _ in columns]
        table = pa.table([values for _, values in columns], names=names)
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
        with (self._folder / f"{stem}.csv").open("wb") as file:
            file.write((",".join(names) + "\n").encode())
            pyarrow.csv.write_csv(table, file, options)

    def _event_columns(self, half: ReleasedHalf) -> list[Column]:
        return [
            ("hash(variantID)", self._identifiers.of_variants(half.variant)),
            ("hash(customerId)", self._identifiers.of_customers(half.customer)),
            ("isReturned", half.returned.astype(np.int8)),
        ]

    def _customer_columns(self, half: ReleasedHalf) -> list[Column]:
        population, customer, totals = self._population, half.row_customer, half.row_totals
        letters = [level.letter for level in self._parameters.population.countries]
        country = population.country[customer]
        return [
            ("hash(customerId)", self._identifiers.of_customers(customer)),
            ("yearOfBirth", population.year_of_birth[customer]),
            ("isMale", population.is_male[customer]),
            ("shippingCountry", _names([f"Country_{letter}" for letter in letters], country)),
            ("premier", population.premier[customer]),
            ("salesPerCustomer", totals.sales),
            ("returnsPerCustomer", totals.returns),
            ("customerReturnRate", totals.returns / totals.sales),
            *_reason_columns("customerId", totals),
            *_one_hot("Country", COUNTRIES, letters, country),
        ]

    def _product_columns(self, variant: np.ndarray, totals: Totals) -> list[Column]:
        catalogue, constants = self._catalogue, self._parameters.catalogue
        product = catalogue.product[variant]
        type_, brand = catalogue.type_[product], catalogue.brand[product]
        brand_names = [level.name for level in constants.brands]
        brand_letters = [name.removeprefix("Brand_") for name in brand_names]
        dummies = [level.dummy for level in constants.types]
        return [
            ("hash(variantID)", self._identifiers.of_variants(variant)),
            ("hash(productID)", self._identifiers.of_products(product)),
            ("productType", _names([level.name for level in constants.types], type_)),
            ("hash(supplierRef)", self._identifiers.of_suppliers(catalogue.supplier[product])),
            ("brandDesc", _names(brand_names, brand)),
            ("avgGbpPrice", catalogue.price[product]),
            ("avgDiscountValue", catalogue.discount[product]),
            ("salesPerProduct", totals.sales),
            ("returnsPerProduct", totals.returns),
            ("productReturnRate", totals.returns / totals.sales),
            *_reason_columns("variantID", totals),
            *_one_hot("Brand", BRANDS, brand_letters, brand),
            *_one_hot("productType", PRODUCT_TYPES, dummies, type_),
        ]


def _names(names: Sequence[str], level: np.ndarray) -> pa.Array:
    return pc.take(pa.array(names, pa.string()), pa.array(level))


def _reason_columns(owner: str, totals: Totals) -> list[Column]:
    """Share of each reason among a node's returns; both columns that end in D bear one name."""
    share = totals.reasons / totals.returns[:, None]
    return [
        (f"{owner}_level_return_code_{code}", np.ascontiguousarray(column))
        for code, column in zip(REASONS, share.T, strict=True)
    ]


def _one_hot(
    owner: str, letters: Sequence[str], letter_of_level: Sequence[str], level: np.ndarray
) -> list[Column]:
    """A column of 0 and 1 for each letter; levels whose letter has no column are 0 throughout."""
    column_of_level = np.array(
        [letters.index(letter) if letter in letters else -1 for letter in letter_of_level]
    )
    column = column_of_level[level]
    return [
        (f"{owner}_{letter}", (column == position).astype(np.int8))
        for position, letter in enumerate(letters)
    ]
