"""Every constant of the synthetic twin, with the statistic of the release it was fitted to.

The release is ASOS GraphReturns (McGowan et al., arXiv 2302.14096, osf.io/c793h). Its statistics
come from public audits of the six files, collected in the research notes `facts/graphreturns.md`;
"facts 2.5" below means section 2.5 there. A value said to be "fitted" has no meaning of its own:
it was solved for so that the generated release shows the statistic named beside it. Effects are on
the logit of the return probability. Counts are for scale 1.0, the size of the release.
"""

from dataclasses import dataclass

REASONS = ("A", "B", "C", "D", "E", "D", "F", "G", "H", "I", "J", "K", "L")
"""Return-reason codes in column order; the release really has two columns that end in D."""

REASON_K = 11
"""Position of code K in `REASONS`, the one code that tells of little-returned variants."""


@dataclass(frozen=True)
class Country:
    """A shipping country.

    Attributes:
        letter: Letter in the release, the same in raw and one-hot columns.
        share: Share of the population.
        effect: Logit effect.
    """

    letter: str
    share: float
    effect: float


@dataclass(frozen=True)
class ProductType:
    """A product type.

    Attributes:
        name: Raw value in the release.
        dummy: Letter of its one-hot column, shifted against the raw letter from `Jeans` on.
        share: Share of the products.
        popularity: Orders per variant, relative to the other types.
        median_price: In pounds.
        effect: Logit effect.
    """

    name: str
    dummy: str
    share: float
    popularity: float
    median_price: float
    effect: float


@dataclass(frozen=True)
class Brand:
    """A brand.

    Attributes:
        name: Raw value in the release.
        share: Share of the suppliers.
        effect: Logit effect.
    """

    name: str
    share: float
    effect: float


@dataclass(frozen=True)
class PopulationParameters:
    """Who buys, how much, and how readily they send things back.

    Attributes:
        customers: Customers active in at least one half, returners or not.
        active_in_both: Share of them active in both halves; fitted to the 22 % of test customers
            that training knows (facts 1.6).
        active_in_testing_only: Share active in the second half alone; the rest, in the first.
        order_lines: Median of a customer's expected order lines in a half.
        activity_sigma: Its lognormal spread, which lasts over the halves.
        period_sigma: Lognormal spread of a customer's activity from half to half.
        reseller_share: Share of customers whose activity is multiplied (facts 1.7: up to 3,015
            orders).
        reseller_factor: By how much.
        propensity: Mean logit of returning an average variant.
        propensity_sigma: Its spread over customers; facts 2.6 (intra-class correlation about .2).
        propensity_of_activity: Rise with a unit of log activity; facts 2.6 (customer rate rises
            with degree) and 1.6 (known customers return more).
        keeper_share: Share of customers who hardly ever return. They order, so they lower the
            variants' rates, and are mostly absent from the release; fitted to the gap between
            customers' and variants' mean rate (facts 2.1).
        keeper_effect: Their logit effect.
        testing_effect: Logit effect of the second half (.545 against .553, facts 1.5).
        male_share: Facts 1.5.
        male_effect: Facts 2.5.
        premier_share: Facts 1.5; the effect is nil (facts 2.5).
        age_median: Of the age in 2024 less `age_minimum`, lognormal; facts 2.3.
        age_minimum: Youngest age in 2024.
        age_sigma: Spread of the logarithm; facts 2.3.
        age_bands: First age (in 2024) of each band after the youngest.
        age_effects: Logit effect of each band; facts 2.5.
        unknown_birth_share: Share of rows with the sentinel year 1900; facts 1.7.
        odd_birth_share: Share of rows with an impossible year between 1890 and 2020; facts 1.7.
        countries: Facts 2.5.
    """

    customers: int = 4_085_000
    active_in_both: float = 0.325
    active_in_testing_only: float = 0.36
    order_lines: float = 5.69
    activity_sigma: float = 0.647
    period_sigma: float = 0.4
    reseller_share: float = 0.0004
    reseller_factor: float = 20.0
    propensity: float = -0.07
    propensity_sigma: float = 1.18
    propensity_of_activity: float = 0.42
    keeper_share: float = 0.282
    keeper_effect: float = -7.5
    testing_effect: float = -0.05
    male_share: float = 0.191
    male_effect: float = -0.39
    premier_share: float = 0.073
    age_median: float = 13.0
    age_minimum: float = 18.0
    age_sigma: float = 0.55
    age_bands: tuple[int, ...] = (26, 36, 46, 56, 66)
    age_effects: tuple[float, ...] = (-0.26, 0.0, 0.0, -0.03, 0.04, 0.45)
    unknown_birth_share: float = 0.0154
    odd_birth_share: float = 0.0003
    countries: tuple[Country, ...] = (
        Country("A", 0.0179, -0.4),
        Country("B", 0.0128, 0.844),
        Country("C", 0.0112, -0.243),
        Country("D", 0.0446, -0.532),
        Country("E", 0.2408, 1.174),
        Country("F", 0.019, 0.51),
        Country("G", 0.5502, -0.139),
        Country("H", 0.0713, -0.066),
        Country("I", 0.0322, -0.165),
    )


@dataclass(frozen=True)
class CatalogueParameters:
    """What is sold: variants within products within suppliers.

    Attributes:
        products: Products sold in at least one half.
        variants_per_product: Mean; one, plus a geometric number. Facts 1.5.
        products_per_supplier: Mean; one, plus a Poisson number. Facts 1.5.
        supplier_sigma: Spread of the suppliers' logit effect. With the next two about .6 in all,
            facts 2.6 and 6.6.
        product_sigma: Spread of the products' effect within a supplier.
        variant_sigma: Spread of the variants' effect within a product.
        product_popularity_sigma: Lognormal spread of popularity over products; with the next two
            fitted to events per variant (3.16) and to the share of test events whose variant
            training knows (72.5 %), facts 1.5 and 1.6.
        variant_popularity_sigma: Spread over a product's variants.
        drift_sigma: Spread of the logarithm of the ratio of both halves' popularity.
        taste_sigma: Spread over products of the log ratio of keepers' to other customers' interest;
            it widens the variants' rates (.10 to .62, facts 2.3) without telling of the events.
        popularity_effect: Logit effect of a unit of log popularity; facts 2.4 and 2.5 (much sold
            variants return less).
        price_sigma: Lognormal spread within a type; facts 2.3.
        price_knots: Prices in pounds at which the price effect is given; linear in the logarithm
            between them.
        price_effects: Logit effect at each knot; facts 2.3.
        discount_mean: Facts 2.3; without effect.
        discount_sigma: Facts 2.3.
        types: Facts 2.5; letters facts 1.4.
        brands: Facts 2.5; names facts 1.4.
    """

    products: int = 170_900
    variants_per_product: float = 5.24
    products_per_supplier: float = 1.33
    supplier_sigma: float = 0.16
    product_sigma: float = 0.2
    variant_sigma: float = 0.25
    product_popularity_sigma: float = 0.81
    variant_popularity_sigma: float = 0.77
    drift_sigma: float = 1.29
    taste_sigma: float = 1.15
    popularity_effect: float = -0.11
    price_sigma: float = 0.6
    price_knots: tuple[float, ...] = (10.0, 21.0, 36.0, 50.0, 64.0)
    price_effects: tuple[float, ...] = (-0.53, 0.32, 0.46, 0.63, 0.11)
    discount_mean: float = 17.4
    discount_sigma: float = 1.8
    types: tuple[ProductType, ...] = (
        ProductType("productType_A", "A", 0.0313, 0.8, 22.0, -0.18),
        ProductType("productType_B", "B", 0.1813, 0.78, 26.0, 0.89),
        ProductType("productType_C", "C", 0.0417, 0.77, 22.0, 0.49),
        ProductType("Jeans", "D", 0.017, 4.0, 29.0, 0.71),
        ProductType("productType_D", "E", 0.057, 0.8, 22.0, -0.28),
        ProductType("productType_E", "F", 0.0386, 0.8, 22.0, 0.07),
        ProductType("productType_F", "G", 0.0174, 0.8, 22.0, -0.29),
        ProductType("productType_G", "H", 0.0361, 0.8, 22.0, -0.39),
        ProductType("productType_H", "I", 0.09, 0.8, 22.0, -0.65),
        ProductType("productType_I", "J", 0.053, 0.8, 22.0, 0.56),
        ProductType("productType_J", "K", 0.4366, 1.0, 17.0, -0.26),
    )
    brands: tuple[Brand, ...] = (
        Brand("Brand_A", 0.047, 0.04),
        Brand("Brand_B", 0.047, 0.18),
        Brand("Brand_C", 0.047, 0.54),
        Brand("Brand_D", 0.047, 0.32),
        Brand("Brand_E", 0.047, 0.0),
        Brand("Brand_F", 0.047, -0.08),
        Brand("Brand_G", 0.047, -0.36),
        Brand("Brand_I", 0.047, 0.33),
        Brand("Brand_J", 0.047, 0.34),
        Brand("Brand_K", 0.568, -0.12),
        Brand("Pull&Bear", 0.012, 0.28),
    )


@dataclass(frozen=True)
class ReasonParameters:
    """Why things come back.

    Attributes:
        shares: Mean share of each of `REASONS`; facts 2.1 and 2.2.
        of_customer: Share of returns that give the customer's own favourite reason.
        of_product: Share of returns that give the product's own favourite reason.
        k_of_effect: Fall of the logit of reason K with a unit of the variant's effect; facts 2.4
            (share of K against returning, -.181).
    """

    shares: tuple[float, ...] = (
        0.0410,
        0.0450,
        0.0070,
        0.0340,
        0.0001,
        0.3700,
        0.0110,
        0.0020,
        0.0110,
        0.2110,
        0.1830,
        0.0829,
        0.0020,
    )
    of_customer: float = 0.3
    of_product: float = 0.15
    k_of_effect: float = 1.0


@dataclass(frozen=True)
class ReleaseParameters:
    """How the shop's order book became the release.

    Attributes:
        sampled_share: Share of order lines sampled as events for customers of little activity;
            with the activity fitted to 1.69 events a customer and 11.5 orders a customer row.
        sampling_saturation: Expected order lines at which that share has halved (facts 2.3: at
            most 28 returned events a customer).
        second_piece_share: Share of order lines of two pieces, each an event of its own: the
            release's repeated pairs, some with equal and some with conflicting labels (facts 1.6).
        customer_row_missing: Logit that a released customer has no node row; facts 1.6 (5.2 %
            of events).
        customer_row_missing_of_propensity: Its rise with a unit of the customer's logit of
            returning; facts 1.6 (.10 more returns).
        customer_row_missing_of_activity: Its rise with a unit of log activity; facts 1.6 (2.15
            events each).
        product_row_missing: Logit that a variant has no node row; facts 1.6 (34.7 and 30.9 % of
            events).
        product_row_missing_of_popularity: Its rise with a unit of log popularity; facts 1.6 (2.45
            events each, against 3.74).
        product_row_missing_of_drift: Its rise with a unit of the log ratio of the first half's to
            the second half's popularity; facts 1.6 (more are missing in training).
        product_row_missing_sigma: Spread of that logit over products.
        product_row_left_out: Share of the rows left out of either half's file alone; facts 1.6
            (98.5 % shared).
    """

    sampled_share: float = 0.1042
    sampling_saturation: float = 300.0
    second_piece_share: float = 0.0075
    customer_row_missing: float = -3.74
    customer_row_missing_of_propensity: float = 0.32
    customer_row_missing_of_activity: float = 0.97
    product_row_missing: float = 0.06
    product_row_missing_of_popularity: float = -1.59
    product_row_missing_of_drift: float = 0.28
    product_row_missing_sigma: float = 3.0
    product_row_left_out: float = 0.0146


@dataclass(frozen=True)
class Parameters:
    """All constants of the generator, room by room."""

    population: PopulationParameters = PopulationParameters()
    catalogue: CatalogueParameters = CatalogueParameters()
    reasons: ReasonParameters = ReasonParameters()
    release: ReleaseParameters = ReleaseParameters()
