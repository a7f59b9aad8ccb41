"""Totals of customers over more orders than the events, as retailers publish them."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from data.dataset import Dataset, index_tables
from data.schema import Role, column, role_of, source_event_columns
from data.sources.base import SourceTables
from returns.audit.findings import Check, Finding, Severity
from returns.audit.subject import Subject
from returns.audit.totals import find_totals_that_hold_the_labels
from returns.protocol import Protocol


@dataclass(frozen=True)
class Shop:
    """Customers with few labelled events each, and how readily they return."""

    dataset: Dataset
    orders: np.ndarray
    returns: np.ndarray
    propensity: np.ndarray
    activity: np.ndarray


@pytest.fixture(scope="module")
def shop() -> Shop:
    """Synthetic: 4,000 customers; active ones order more and return more."""
    random = np.random.default_rng(0)
    activity = random.lognormal(0.3, 0.8, 4000)
    propensity = random.beta(2, 2, 4000) ** (1 / (1 + 0.2 * activity))
    orders = 1 + random.poisson(activity)
    customer = np.repeat(np.arange(4000), orders)
    returned = random.random(len(customer)) < propensity[customer]
    number = len(customer)
    fields = source_event_columns(pa.int64(), pa.int64())
    events = [np.arange(number), customer, random.integers(0, 500, number), returned]
    split = np.where(np.arange(number) % 3 == 0, "test", "train")
    tables = SourceTables(
        events=pa.table([*events[:3], events[3].astype(np.int8), split], schema=pa.schema(fields)),
        customers=keys("customer_key", 4000),
        variants=keys("variant_key", 500),
    )
    returns = np.bincount(customer, returned, 4000).astype(np.int64)
    return Shop(index_tables(tables)[0], orders, returns, propensity, activity)


def keys(name: str, number: int) -> pa.Table:
    schema = pa.schema([column(name, pa.int64(), Role.ID, "key")])
    return pa.table([np.arange(number)], schema=schema)


def found(dataset: Dataset) -> list[Finding]:
    subject = Subject.prepare(dataset, Protocol.STRICT, 0)
    return list(find_totals_that_hold_the_labels(subject))


def leaks(dataset: Dataset) -> list[tuple[str, ...]]:
    return [each.columns for each in found(dataset) if each.severity is Severity.LEAK]


def test_totals_rates_and_shares_that_hold_the_outcomes_are_found(shop, plant):
    random = np.random.default_rng(0)
    other_orders = random.poisson(shop.activity)
    all_orders = shop.orders + other_orders
    all_returns = shop.returns + random.binomial(other_orders, shop.propensity)
    too_big = random.binomial(all_returns, 0.4)
    with np.errstate(invalid="ignore"):
        columns = {
            "all_orders": all_orders,
            "all_returns": all_returns,
            "rate": all_returns / all_orders,
            "too_big": too_big / all_returns,
            "too_small": 1 - too_big / all_returns,
        }
    dataset = shop.dataset
    for name, values in columns.items():
        dataset = plant(dataset, values, "customers", name, Role.PROFILE)
    assert leaks(dataset) == [("all_returns",), ("all_orders", "rate"), ("too_big", "too_small")]


@pytest.mark.parametrize("seed", range(5))
def test_totals_of_earlier_orders_are_honest(shop, plant, seed):
    """As telling of the customers' habits, but without the outcomes to be predicted."""
    random = np.random.default_rng(seed)
    dataset = shop.dataset
    for times in (0.5, 1, 3):
        earlier = random.poisson(times * shop.activity)
        returns = random.binomial(earlier, shop.propensity)
        dataset = plant(dataset, returns, "customers", f"returns_{times}", Role.PROFILE)
        dataset = plant(dataset, earlier, "customers", f"orders_{times}", Role.PROFILE)
    assert not leaks(dataset)


def test_years_flags_and_prices_are_no_totals(shop, plant):
    random = np.random.default_rng(0)
    number = shop.dataset.customers.num_rows
    for values in (random.integers(0, 2, number), random.random(number), np.full(number, np.nan)):
        assert not found(plant(shop.dataset, values, "customers", "planted", Role.PROFILE))


def test_selection_by_the_outcome_is_noted(shop, plant):
    at_least_one = plant(shop.dataset, shop.returns + 1, "customers", "planted", Role.PROFILE)
    (note,) = [each for each in found(at_least_one) if each.severity is Severity.NOTE]
    assert note.check is Check.SELECTION
    assert note.columns == ("customers",)
    assert note.figures == {"least planted": 1}


def test_the_twins_customers_are_found_though_declared_known(twin):
    """What the aggregates of the synthetic twin are follows from their values, not their role."""
    fields = [
        field.with_metadata({**field.metadata, b"role": b"profile"})
        if role_of(field) is Role.AGGREGATE
        else field
        for field in twin.customers.schema
    ]
    customers = pa.table(twin.customers.columns, schema=pa.schema(fields))
    names = {name for each in leaks(replace(twin, customers=customers)) for name in each}
    assert names >= {"returns_per_customer", "sales_per_customer", "customer_return_rate"}
    # Too rare to be judged at this scale: reason E.
    reasons = ("a", "b", "c", "d", "d2", "f", "g", "h", "i", "j", "k", "l")
    assert names >= {f"customer_return_code_{reason}" for reason in reasons}
    assert not names & {"year_of_birth", "is_male", "premier"}
