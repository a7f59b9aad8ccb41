"""Small synthetic datasets that every room's tests share."""

import os

# One thread: the tests' matrices are small, and threads that wait for each other on a busy machine
# take many times longer. Read when the numerical libraries load, and handed to child processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from data.dataset import Dataset, index_tables
from data.schema import (
    BASKET_KEY,
    PERIOD,
    TIME,
    Role,
    column,
    source_event_columns,
)
from data.sources.base import SourceTables

NUM_CUSTOMERS, NUM_VARIANTS, NUM_PRODUCTS = 120, 60, 15
EVENT_COLUMNS = source_event_columns(pa.int64(), pa.int64())


def _node_tables(rng: np.random.Generator, keep: float) -> tuple[pa.Table, pa.Table]:
    customers = pa.table(
        [
            pa.array(np.arange(NUM_CUSTOMERS) + 1000),
            pa.array(rng.integers(1960, 2003, NUM_CUSTOMERS)),
            pa.array(rng.choice(["A", "B", "C"], NUM_CUSTOMERS)),
            pa.array(rng.random(NUM_CUSTOMERS)),
        ],
        schema=pa.schema(
            [
                column("customer_key", pa.int64(), Role.ID, "key"),
                column("year_of_birth", pa.int64(), Role.PROFILE, "year"),
                column("country", pa.string(), Role.ATTRIBUTE, "country"),
                column("customer_return_rate", pa.float64(), Role.AGGREGATE, "leaks"),
            ]
        ),
    )
    variants = pa.table(
        [
            pa.array(np.arange(NUM_VARIANTS) + 5000),
            pa.array(rng.integers(0, NUM_PRODUCTS, NUM_VARIANTS)),
            pa.array(rng.lognormal(3, 0.5, NUM_VARIANTS)),
        ],
        schema=pa.schema(
            [
                column("variant_key", pa.int64(), Role.ID, "key"),
                column("product", pa.int64(), Role.ATTRIBUTE, "product"),
                column("price", pa.float64(), Role.CATALOGUE, "price", unit="EUR"),
            ]
        ),
    )
    chosen = [pa.array(rng.random(table.num_rows) < keep) for table in (customers, variants)]
    return customers.filter(chosen[0]), variants.filter(chosen[1])


def _events(rng: np.random.Generator, number: int) -> dict[str, np.ndarray]:
    customer = rng.integers(0, NUM_CUSTOMERS, number)
    variant = rng.integers(0, NUM_VARIANTS, number)
    logit = rng.normal(0, 1.2, NUM_CUSTOMERS)[customer] + rng.normal(0, 0.8, NUM_VARIANTS)[variant]
    returned = rng.random(number) < 1 / (1 + np.exp(-logit))
    return {
        "row_id": np.arange(number),
        "customer_key": customer + 1000,
        "variant_key": variant + 5000,
        "returned": returned.astype(np.int8),
    }


def make_undated_tables(seed: int = 0, number: int = 1500) -> SourceTables:
    """A synthetic release: periods, orphans, validation grouped by customer."""
    rng = np.random.default_rng(seed)
    columns = _events(rng, number)
    test = np.arange(number) >= number * 2 // 3
    grouped = (columns["customer_key"] * 7919) % 10 == 0
    split = np.where(test, "test", np.where(grouped, "validation", "train"))
    customers, variants = _node_tables(rng, keep=0.9)
    return SourceTables(
        events=pa.table([*columns.values(), split], schema=pa.schema(EVENT_COLUMNS)),
        customers=_in_both_periods(customers),
        variants=_in_both_periods(variants),
        period_of_split={"train": "training", "validation": "training", "test": "testing"},
        missing_rows_leak=("customers",),
    )


def _in_both_periods(table: pa.Table) -> pa.Table:
    return pa.concat_tables(
        table.append_column(PERIOD, pa.repeat(pa.scalar(period), table.num_rows))
        for period in ("training", "testing")
    )


def make_dated_tables(seed: int = 0, number: int = 1500, num_days: int = 150) -> SourceTables:
    """Synthetic dated order lines: baskets, a price per order, split by time."""
    rng = np.random.default_rng(seed)
    columns = _events(rng, number)
    day = np.sort(rng.integers(15340, 15340 + num_days, number))
    share = (day - 15340) / num_days
    split = np.where(share < 0.6, "train", np.where(share < 0.8, "validation", "test"))
    basket = [f"{c}|{d}" for c, d in zip(columns["customer_key"], day, strict=True)]
    fields = [
        *EVENT_COLUMNS,
        TIME,
        BASKET_KEY,
        column("order_price", pa.float64(), Role.ORDER, "price", unit="EUR"),
        column("delivered", pa.date32(), Role.AFTER, "delivery date"),
    ]
    arrays = [
        *(pa.array(values) for values in columns.values()),
        pa.array(split),
        pa.array(day.astype("datetime64[D]")),
        pa.array(basket),
        pa.array(rng.lognormal(3, 0.5, number).round(2)),
        pa.array((day + 3).astype("datetime64[D]"), mask=columns["returned"] == 0),
    ]
    customers, variants = _node_tables(rng, keep=1.0)
    sizes = rng.choice(["36", "38", "40+", "m", None], NUM_VARIANTS).tolist()
    variants = variants.append_column(
        column("size", pa.string(), Role.ATTRIBUTE, "size"), pa.array(sizes)
    )
    return SourceTables(
        events=pa.table(arrays, schema=pa.schema(fields)), customers=customers, variants=variants
    )


def with_labels(tables: SourceTables, returned: np.ndarray) -> SourceTables:
    """The same tables with other labels."""
    position = tables.events.column_names.index("returned")
    field = tables.events.schema.field("returned")
    events = tables.events.set_column(position, field, pa.array(returned, pa.int8()))
    return replace(tables, events=events)


TableMaker = Callable[..., SourceTables]


@pytest.fixture(params=[make_undated_tables, make_dated_tables], ids=["undated", "dated"])
def make_tables(request: pytest.FixtureRequest) -> TableMaker:
    """Maker of a synthetic source's tables, undated and dated."""
    maker: TableMaker = request.param
    return maker


@pytest.fixture(scope="session")
def undated_tables() -> SourceTables:
    return make_undated_tables()


@pytest.fixture(scope="session")
def dated_tables() -> SourceTables:
    return make_dated_tables()


@pytest.fixture
def undated(undated_tables: SourceTables) -> Dataset:
    return index_tables(undated_tables)[0]


@pytest.fixture
def dated(dated_tables: SourceTables) -> Dataset:
    return index_tables(dated_tables)[0]


@pytest.fixture(scope="session")
def relabel() -> Callable[[SourceTables, np.ndarray], SourceTables]:
    return with_labels
