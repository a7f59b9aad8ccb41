"""The catalogue: variants within products within suppliers, their popularity and their effects."""

from dataclasses import dataclass

import numpy as np

from data.synthesis.draws import draw_levels
from data.synthesis.parameters import CatalogueParameters, ReasonParameters
from data.synthesis.reasons import draw_favourites

CHEAPEST, DEAREST = 1.25, 518.0
"""Range of the release's prices in pounds."""


@dataclass(frozen=True)
class Catalogue:
    """Everything sold in at least one half; arrays of shape `(num_variants,)` unless said.

    Attributes:
        product: Product of each variant, int32, ascending.
        supplier: Supplier of each product, int32 `(num_products,)`, ascending.
        type_: Position in `CatalogueParameters.types` of each product, int8 `(num_products,)`,
            ascending.
        brand: Position in `CatalogueParameters.brands` of each product, int8 `(num_products,)`.
        price: Pounds, of each product, float64 `(num_products,)`, two decimals.
        discount: Of each product, float64 `(num_products,)`, two decimals.
        favourite_reason: Position in `REASONS` of each product, int8 `(num_products,)`.
        effect: Logit effect of each variant on being returned, float32.
        popularity: Probability that an order line is of the variant, by half and by clientele
            (other customers, keepers), float64 `(2, 2, num_variants)`; the last axis sums to 1.
        log_popularity: Logarithm of what the popularity has in common, about centred, float32.
        drift: Log ratio of the first half's to the second half's popularity, float32.
    """

    product: np.ndarray
    supplier: np.ndarray
    type_: np.ndarray
    brand: np.ndarray
    price: np.ndarray
    discount: np.ndarray
    favourite_reason: np.ndarray
    effect: np.ndarray
    popularity: np.ndarray
    log_popularity: np.ndarray
    drift: np.ndarray

    def __len__(self) -> int:
        """Number of variants."""
        return len(self.product)


def draw_catalogue(
    parameters: CatalogueParameters,
    reasons: ReasonParameters,
    scale: float,
    generator: np.random.Generator,
) -> Catalogue:
    """Draw the catalogue.

    Args:
        parameters: Constants.
        reasons: Constants of the return reasons.
        scale: Size relative to the release.
        generator: Source of randomness.
    """
    num_products = max(1, round(parameters.products * scale))
    supplier = _draw_suppliers(parameters, num_products, generator)
    num_suppliers = int(supplier[-1]) + 1
    product = np.repeat(
        np.arange(num_products, dtype=np.int32),
        generator.geometric(1 / parameters.variants_per_product, num_products),
    )
    type_shares = np.array([level.share for level in parameters.types])
    type_ = np.sort(draw_levels(type_shares, num_products, generator))
    brand_shares = np.array([level.share for level in parameters.brands])
    brand = draw_levels(brand_shares, num_suppliers, generator)[supplier]
    price = _draw_prices(parameters, type_, generator)
    log_popularity = _draw_log_popularity(parameters, type_, product, generator)
    drift = parameters.drift_sigma * generator.standard_normal(len(product))
    product_effect = (
        np.array([level.effect for level in parameters.types])[type_]
        + np.array([level.effect for level in parameters.brands])[brand]
        + np.interp(np.log(price), np.log(parameters.price_knots), parameters.price_effects)
        + parameters.supplier_sigma * generator.standard_normal(num_suppliers)[supplier]
        + parameters.product_sigma * generator.standard_normal(num_products)
    )
    effect = (
        product_effect[product]
        + parameters.variant_sigma * generator.standard_normal(len(product))
        + parameters.popularity_effect * log_popularity
    )
    taste = parameters.taste_sigma * generator.standard_normal(num_products)[product]
    popularity = np.exp(
        log_popularity
        + np.stack([drift, -drift])[:, None] / 2
        + np.stack([-taste, taste])[None] / 2
    )
    discount = generator.normal(parameters.discount_mean, parameters.discount_sigma, num_products)
    return Catalogue(
        product=product,
        supplier=supplier,
        type_=type_,
        brand=brand,
        price=price,
        discount=np.round(np.maximum(discount, 0), 2),
        favourite_reason=draw_favourites(reasons, num_products, generator),
        effect=effect.astype(np.float32),
        popularity=popularity / popularity.sum(axis=-1, keepdims=True),
        log_popularity=log_popularity.astype(np.float32),
        drift=drift.astype(np.float32),
    )


def _draw_suppliers(
    parameters: CatalogueParameters, num_products: int, generator: np.random.Generator
) -> np.ndarray:
    starts_new = generator.random(num_products) < 1 / parameters.products_per_supplier
    starts_new[0] = True
    return np.cumsum(starts_new, dtype=np.int32) - 1


def _draw_prices(
    parameters: CatalogueParameters, type_: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    median = np.array([level.median_price for level in parameters.types])[type_]
    price = median * generator.lognormal(0, parameters.price_sigma, len(type_))
    return np.asarray(np.round(np.clip(price, CHEAPEST, DEAREST), 2))


def _draw_log_popularity(
    parameters: CatalogueParameters,
    type_: np.ndarray,
    product: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    of_type = np.log([level.popularity for level in parameters.types])[type_]
    of_product = parameters.product_popularity_sigma * generator.standard_normal(len(type_))
    of_variant = parameters.variant_popularity_sigma * generator.standard_normal(len(product))
    return np.asarray((of_type + of_product)[product] + of_variant)
