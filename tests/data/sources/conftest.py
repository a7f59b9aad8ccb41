"""A small synthetic release in the layout of ASOS GraphReturns."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

REASONS = ("A", "B", "C", "D", "E", "D", "F", "G", "H", "I", "J", "K", "L")
COUNTRIES = [f"Country_{letter}" for letter in "ABCDEFGHI"]
BRANDS = [f"Brand_{letter}" for letter in "ABCDEFGIJK"]
TYPES = ["productType_A", "productType_B", "productType_C", "Jeans"]
TYPES += [f"productType_{letter}" for letter in "DEFGHIJ"]
TYPE_DUMMIES = [f"productType_{letter}" for letter in "ABCDEFGHIJK"]
"""The dummy of `TYPES[i]` is `TYPE_DUMMIES[i]`: shifted from `Jeans` on, as in the release."""

Frames = dict[str, pd.DataFrame]


def _shares(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
    returns = rng.integers(1, 9, number)
    reasons = rng.multinomial(returns, np.full(len(REASONS), 1 / len(REASONS)))
    return returns, reasons / returns[:, None]


def _one_hot(code: np.ndarray, names: list[str]) -> pd.DataFrame:
    return pd.DataFrame((code[:, None] == np.arange(len(names))).astype(int), columns=names)


def _customer_nodes(rng: np.random.Generator, keys: np.ndarray) -> pd.DataFrame:
    number = len(keys)
    returns, shares = _shares(rng, number)
    sales = returns + rng.integers(0, 9, number)
    country = rng.integers(0, len(COUNTRIES), number)
    frame = pd.DataFrame(
        {
            "hash(customerId)": keys,
            "yearOfBirth": rng.integers(1950, 2006, number),
            "isMale": rng.integers(0, 2, number),
            "shippingCountry": np.array(COUNTRIES, dtype=object)[country],
            "premier": rng.integers(0, 2, number),
            "salesPerCustomer": sales,
            "returnsPerCustomer": returns,
            "customerReturnRate": returns / sales,
        }
    )
    reasons = pd.DataFrame(shares, columns=[f"customerId_level_return_code_{r}" for r in REASONS])
    return pd.concat([frame, reasons, _one_hot(country, COUNTRIES)], axis=1)


def _product_nodes(rng: np.random.Generator, keys: np.ndarray) -> pd.DataFrame:
    number = len(keys)
    returns, shares = _shares(rng, number)
    sales = returns + rng.integers(0, 9, number)
    brand = rng.integers(0, len(BRANDS) + 1, number)
    type_ = rng.integers(0, len(TYPES), number)
    frame = pd.DataFrame(
        {
            "hash(variantID)": keys,
            "hash(productID)": keys // 4,
            "productType": np.array(TYPES, dtype=object)[type_],
            "hash(supplierRef)": keys // 4 % 11,
            "brandDesc": np.array([*BRANDS, "Pull&Bear"], dtype=object)[brand],
            "avgGbpPrice": rng.lognormal(3, 0.6, number).round(2),
            "avgDiscountValue": rng.normal(17, 2, number).round(2),
            "salesPerProduct": sales,
            "returnsPerProduct": returns,
            "productReturnRate": returns / sales,
        }
    )
    reasons = pd.DataFrame(shares, columns=[f"variantID_level_return_code_{r}" for r in REASONS])
    return pd.concat(
        [frame, reasons, _one_hot(brand, BRANDS), _one_hot(type_, TYPE_DUMMIES)], axis=1
    )


def make_release(seed: int = 0, num_events: int = 300) -> Frames:
    """The six tables by file stem; some events have no node rows."""
    rng = np.random.default_rng(seed)
    customers = rng.choice(2**32, num_events, replace=False) - 2**31
    variants = rng.integers(-(2**63), 2**63 - 1, num_events // 3)
    frames = {}
    for period in ("training", "testing"):
        chosen = rng.permutation(customers)[: num_events * 2 // 3]
        frames[f"event_table_{period}"] = pd.DataFrame(
            {
                "hash(variantID)": rng.choice(variants, num_events),
                "hash(customerId)": rng.choice(chosen, num_events),
                "isReturned": rng.integers(0, 2, num_events),
            }
        )
        with_row = chosen[: int(len(chosen) * 0.95)]
        frames[f"customer_nodes_{period}"] = _customer_nodes(rng, with_row)
        frames[f"product_nodes_{period}"] = _product_nodes(rng, variants[: len(variants) * 2 // 3])
    return frames


def write_release(frames: Frames, folder: Path, suffix: str = ".csv") -> Path:
    """Write tables into a folder, as the release's pickles or as CSV with its header."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, frame in frames.items():
        path = folder / f"{stem}{suffix}"
        if suffix == ".p":
            frame.to_pickle(path)
        else:
            frame.to_csv(path, index=False)
    return folder


ReleaseWriter = Callable[..., Path]


@pytest.fixture
def release() -> Frames:
    return make_release()


@pytest.fixture
def release_maker() -> Callable[..., Frames]:
    return make_release


@pytest.fixture
def write() -> ReleaseWriter:
    return write_release
