"""The twin shows the published statistics of ASOS GraphReturns (research notes, sections 1 and 2).

Every figure is measured on the written files, as an audit of the real ones would.
"""

from collections.abc import Mapping
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from data.reporter import SilentReporter
from data.sources.twin import Twin

CUSTOMER, VARIANT, LABEL = "hash(customerId)", "hash(variantID)", "isReturned"
LEVELS = ["shippingCountry", "productType", "brandDesc"]
CLEAN = ["yearOfBirth", "isMale", "premier", "avgGbpPrice", "avgDiscountValue", *LEVELS]
PERIODS = ("training", "testing")

COUNTRIES = [f"Country_{letter}" for letter in "ABCDEFGHI"]
TYPES = ["Jeans", *(f"productType_{letter}" for letter in "BCDEGIJ")]
PUBLISHED_RATES = {
    "training": {
        "shippingCountry": dict(
            zip(
                COUNTRIES,
                (0.448, 0.643, 0.482, 0.443, 0.69, 0.597, 0.502, 0.508, 0.496),
                strict=True,
            )
        ),
        "productType": dict(
            zip(TYPES, (0.665, 0.718, 0.64, 0.5, 0.565, 0.481, 0.647, 0.478), strict=True)
        ),
    },
    "testing": {
        "shippingCountry": dict(
            zip(
                COUNTRIES,
                (0.4771, 0.6353, 0.4805, 0.4329, 0.6769, 0.5911, 0.4904, 0.5015, 0.4856),
                strict=True,
            )
        ),
        "productType": dict(
            zip(
                TYPES,
                (0.6668, 0.7074, 0.6309, 0.5012, 0.5635, 0.4762, 0.6476, 0.4705),
                strict=True,
            )
        ),
    },
}
"""Training: read from charts; testing: exact."""

# Name: published value, tolerance at scale 0.1, tolerance at scale 0.02.
STATISTICS: Mapping[str, tuple[float, float, float]] = {
    "training return rate": (0.553, 0.01, 0.015),
    "testing return rate": (0.545, 0.01, 0.015),
    "training AUC of customerReturnRate": (0.801, 0.02, 0.025),
    "testing AUC of customerReturnRate": (0.801, 0.02, 0.025),
    "training AUC of productReturnRate": (0.634, 0.025, 0.035),
    "testing AUC of productReturnRate": (0.634, 0.025, 0.035),
    "training mean salesPerCustomer": (11.5, 1.5, 1.5),
    "testing mean salesPerCustomer": (11.7, 1.5, 1.5),
    "training mean returnsPerCustomer": (6.07, 0.8, 0.8),
    "testing mean returnsPerCustomer": (6.02, 0.8, 0.8),
    "training mean customerReturnRate": (0.541, 0.03, 0.03),
    "testing mean customerReturnRate": (0.534, 0.03, 0.03),
    "training mean productReturnRate": (0.385, 0.04, 0.04),
    "testing mean productReturnRate": (0.385, 0.04, 0.04),
    "training events per customer": (1.69, 0.08, 0.08),
    "training events per variant": (3.16, 0.3, 0.4),
    "training events without customer row": (0.0523, 0.005, 0.008),
    "testing events without customer row": (0.0514, 0.005, 0.008),
    "training events without product row": (0.3466, 0.015, 0.03),
    "testing events without product row": (0.3093, 0.015, 0.03),
    "training excess rate without customer row": (0.0977, 0.04, 0.06),
    "testing excess rate without customer row": (0.1102, 0.04, 0.06),
    "testing events of new customers": (0.7193, 0.03, 0.03),
    "testing product rows known": (0.985, 0.003, 0.005),
    "testing customer rows known": (0.222, 0.02, 0.025),
    "training share of unknown birth years": (0.0154, 0.003, 0.006),
    "training share of men": (0.186, 0.015, 0.02),
    "training share of premier customers": (0.073, 0.01, 0.015),
    "product rows of Brand_K": (0.568, 0.02, 0.05),
    "product rows of productType_J": (0.45, 0.02, 0.05),
    "product rows of Jeans": (0.0254, 0.006, 0.012),
    "product rows of Pull&Bear": (0.012, 0.004, 0.01),
    "repeated pairs in training": (0.0075, 0.001, 0.002),
    "repeated pairs that conflict": (0.36, 0.05, 0.1),
    "training events": (1.0, 0.04, 0.06),
    "testing events": (1.0, 0.04, 0.06),
    "training customer rows": (1.0, 0.04, 0.06),
    "testing customer rows": (1.0, 0.04, 0.06),
    "training product rows": (1.0, 0.04, 0.06),
    "testing product rows": (1.0, 0.04, 0.06),
}
PUBLISHED_SIZES = {
    "training": {"events": 1_369_133, "customer rows": 777_001, "product rows": 411_495},
    "testing": {"events": 1_460_366, "customer rows": 825_598, "product rows": 411_544},
}

Tables = dict[str, dict[str, pd.DataFrame]]


def _read(scale: float, seed: int, folder: Path) -> Tables:
    twin = Twin(scale, seed, folder)
    by_name = {path.stem: path for path in twin.files(SilentReporter())}
    tables: Tables = {}
    for period in PERIODS:
        events = pd.read_csv(by_name[f"event_table_{period}"])
        customers = pd.read_csv(by_name[f"customer_nodes_{period}"])
        products = pd.read_csv(by_name[f"product_nodes_{period}"])
        truth = pd.read_parquet(by_name[f"true_probability_{period}"])
        joined = events.merge(customers, on=CUSTOMER, how="left").merge(
            products, on=VARIANT, how="left"
        )
        joined["truth"] = truth["probability"]
        tables[period] = {"events": joined, "customers": customers, "products": products}
    return tables


def _statistics(tables: Tables, scale: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for period in PERIODS:
        events, customers, products = tables[period].values()
        for owner, column in (("customer", "customerReturnRate"), ("product", "productReturnRate")):
            missing = events[column].isna()
            with_row = events[~missing]
            found[f"{period} AUC of {column}"] = roc_auc_score(with_row[LABEL], with_row[column])
            found[f"{period} events without {owner} row"] = missing.mean()
            excess = events[LABEL][missing].mean() - with_row[LABEL].mean()
            found[f"{period} excess rate without {owner} row"] = excess
        for column in ("salesPerCustomer", "returnsPerCustomer", "customerReturnRate"):
            found[f"{period} mean {column}"] = customers[column].mean()
        found[f"{period} mean productReturnRate"] = products["productReturnRate"].mean()
        found[f"{period} return rate"] = events[LABEL].mean()
        found[f"{period} events per customer"] = len(events) / events[CUSTOMER].nunique()
        found[f"{period} events per variant"] = len(events) / events[VARIANT].nunique()
        found[f"{period} share of unknown birth years"] = (customers["yearOfBirth"] == 1900).mean()
        found[f"{period} share of men"] = customers["isMale"].mean()
        found[f"{period} share of premier customers"] = customers["premier"].mean()
        sizes = {"events": events, "customer rows": customers, "product rows": products}
        for name, table in sizes.items():
            found[f"{period} {name}"] = len(table) / scale / PUBLISHED_SIZES[period][name]
    training, testing = tables["training"], tables["testing"]
    known = testing["events"][CUSTOMER].isin(training["events"][CUSTOMER])
    found["testing events of new customers"] = 1 - known.mean()
    for owner, key in (("product", VARIANT), ("customer", CUSTOMER)):
        shared = testing[f"{owner}s"][key].isin(training[f"{owner}s"][key])
        found[f"testing {owner} rows known"] = shared.mean()
    for column, level in (
        ("brandDesc", "Brand_K"),
        ("brandDesc", "Pull&Bear"),
        ("productType", "productType_J"),
        ("productType", "Jeans"),
    ):
        found[f"product rows of {level}"] = (training["products"][column] == level).mean()
    repeated = training["events"].duplicated([CUSTOMER, VARIANT])
    identical = training["events"].duplicated([CUSTOMER, VARIANT, LABEL])
    found["repeated pairs in training"] = repeated.mean()
    found["repeated pairs that conflict"] = 1 - identical.sum() / repeated.sum()
    return found


def _outside(found: Mapping[str, float], tolerance: int) -> list[str]:
    """Names, values and targets of the statistics out of tolerance."""
    return [
        f"{name}: {found[name]:.4f}, published {published[0]}, tolerance {published[tolerance]}"
        for name, published in STATISTICS.items()
        if abs(found[name] - published[0]) > published[tolerance]
    ]


def _levels_outside(tables: Tables, tolerance: float) -> list[str]:
    """Levels whose return rate is further off than the tolerance and two standard errors."""
    outside = []
    for period in PERIODS:
        for column, published in PUBLISHED_RATES[period].items():
            # Events of one product or one customer are not independent.
            cluster = "hash(productID)" if column == "productType" else CUSTOMER
            for name, rate in published.items():
                events = tables[period]["events"].query(f"{column} == @name")
                found = events[LABEL].mean()
                excess = (events[LABEL] - found).groupby(events[cluster]).sum()
                error = np.sqrt((excess**2).sum()) / len(events)
                if abs(found - rate) > tolerance + 2 * error:
                    outside.append(f"{period} {name}: {found:.3f} +- {error:.3f}, not {rate}")
    return outside


def _boosted_auc(tables: Tables, columns: list[str]) -> float:
    training, testing = (tables[period]["events"] for period in PERIODS)
    features = []
    for events in (training, testing):
        chosen = events[columns].copy()
        for column in LEVELS:
            chosen[column] = pd.Categorical(
                chosen[column], sorted(training[column].dropna().unique())
            )
        features.append(chosen)
    model = lightgbm.LGBMClassifier(n_estimators=150, n_jobs=2, verbose=-1, random_state=0)
    model.fit(features[0], training[LABEL])
    return float(roc_auc_score(testing[LABEL], model.predict_proba(features[1])[:, 1]))


def _all_columns(tables: Tables) -> list[str]:
    events = tables["training"]["events"]
    hashed = {column for column in events.columns if column.startswith("hash(")}
    return [column for column in events.columns if column not in hashed | {LABEL, "truth"}]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return _read(0.02, 0, tmp_path_factory.mktemp("twin"))


def test_small_twin_shows_the_published_statistics(small: Tables) -> None:
    assert not _outside(_statistics(small, 0.02), tolerance=2)


def test_small_twin_shows_the_published_rates_of_levels(small: Tables) -> None:
    assert not _levels_outside(small, 0.025)


def test_small_twin_leaks_as_the_release_does(small: Tables) -> None:
    assert _boosted_auc(small, _all_columns(small)) == pytest.approx(0.835, abs=0.03)
    assert _boosted_auc(small, CLEAN) == pytest.approx(0.66, abs=0.03)


def test_return_rate_rises_with_the_price_up_to_72_pounds(small: Tables) -> None:
    """Joined training events, rates read from published charts."""
    events = small["training"]["events"]
    band = pd.cut(events["avgGbpPrice"], [0, 15, 30, 44, 58, 72])
    bands = events.groupby(band, observed=True)[LABEL].agg(["mean", "size"])
    error = np.sqrt(0.25 / bands["size"])
    off = (bands["mean"] - [0.445, 0.579, 0.636, 0.66, 0.60]).abs()
    assert (off < 0.025 + 3 * error).all()
    quantiles = events["avgGbpPrice"].quantile([0.25, 0.5, 0.75])
    np.testing.assert_allclose(quantiles, [12.6, 20.0, 31.9], rtol=0.15)


def test_truth_is_calibrated_overall_and_along_its_range(small: Tables) -> None:
    for period in PERIODS:
        events = small[period]["events"]
        assert events["truth"].mean() == pytest.approx(events[LABEL].mean(), abs=0.01)
        tenth = pd.cut(events["truth"], np.linspace(0, 1, 11), include_lowest=True)
        groups = events.groupby(tenth, observed=True)[["truth", LABEL]]
        means, sizes = groups.mean(), groups.size()
        error = np.sqrt(means["truth"] * (1 - means["truth"]) / sizes)
        # Outcomes of one customer are not independent under the selection: four errors, not three.
        assert ((means["truth"] - means[LABEL]).abs() < 4 * error + 0.005).all()


def test_truth_is_calibrated_with_and_without_customer_row(small: Tables) -> None:
    events = pd.concat([small[period]["events"] for period in PERIODS])
    for _, part in events.groupby(events["customerReturnRate"].isna()):
        error = np.sqrt((part["truth"] * (1 - part["truth"])).mean() / len(part))
        assert abs(part["truth"].mean() - part[LABEL].mean()) < 4 * error


def test_truth_scores_better_than_a_model_of_what_is_known_before_the_order(
    small: Tables,
) -> None:
    testing = small["testing"]["events"]
    base_rate = np.full(len(testing), small["training"]["events"][LABEL].mean())
    truth = testing["truth"].clip(1e-9, 1 - 1e-9)
    assert log_loss(testing[LABEL], truth) < log_loss(testing[LABEL], base_rate) - 0.1
    assert roc_auc_score(testing[LABEL], testing["truth"]) > 0.05 + _boosted_auc(small, CLEAN)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_twin_shows_the_published_statistics(seed: int, tmp_path: Path) -> None:
    tables = _read(0.1, seed, tmp_path)
    assert not _outside(_statistics(tables, 0.1), tolerance=1)
    assert not _levels_outside(tables, 0.025)
    assert _boosted_auc(tables, _all_columns(tables)) == pytest.approx(0.835, abs=0.02)
    assert _boosted_auc(tables, CLEAN) == pytest.approx(0.66, abs=0.02)
