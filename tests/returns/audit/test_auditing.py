"""The whole audit: every leak of the published release under `paper`, none under `strict`."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.dataset import Dataset, index_tables
from data.reporter import SilentReporter
from data.schema import Role, columns_with_role
from data.sources.orders import Orders
from returns.audit.auditing import CHECKS, audit
from returns.audit.findings import AuditReport, Check, Severity
from returns.audit.single_columns import LARGEST_HONEST_AUC
from returns.history import dated_history
from returns.knowledge import EventArrays
from returns.protocol import Protocol


@pytest.fixture(scope="module")
def paper(twin) -> AuditReport:
    return audit(twin, Protocol.PAPER)


@pytest.fixture(scope="module")
def strict(twin) -> AuditReport:
    return audit(twin, Protocol.STRICT)


CUSTOMER_TOTALS = {"sales_per_customer", "returns_per_customer", "customer_return_rate"}
PRODUCT_TOTALS = {"sales_per_product", "returns_per_product", "product_return_rate"}
REASONS = ("a", "b", "c", "d", "d2", "f", "g", "h", "i", "j", "k", "l")


def test_paper_finds_every_leak_of_the_published_release(paper, columns_of):
    """The list of the public audits of ASOS GraphReturns, each by name."""
    leaks = paper.leaks
    assert columns_of(leaks, Check.SINGLE_COLUMN) == {"customer_return_rate"}
    of_own_label = columns_of(leaks, Check.COMPUTED)
    assert of_own_label >= CUSTOMER_TOTALS
    assert of_own_label >= {f"customer_return_code_{reason}" for reason in REASONS}
    of_both_halves = columns_of(leaks, Check.HALVES)
    assert of_both_halves >= PRODUCT_TOTALS | {"top_return_reason"}
    assert of_both_halves >= {f"variant_return_code_{reason}" for reason in REASONS}
    assert columns_of(leaks, Check.MISSING_ROWS) == {"customers"}


def test_paper_names_every_aggregate(paper, twin, columns_of):
    aggregates = {
        name
        for table in (twin.customers, twin.variants)
        for name in columns_with_role(table.schema, [Role.AGGREGATE])
    }
    assert columns_of(paper.leaks, Check.ROLE) == aggregates
    assert len(aggregates) == 33


def test_paper_blames_no_honest_column(paper):
    blamed = {name for finding in paper.leaks for name in finding.columns}
    honest = {"year_of_birth", "is_male", "premier", "shipping_country", "product", "supplier"}
    assert not blamed & (honest | {"product_type", "brand", "average_price_gbp"})


def test_what_is_no_leak_is_noted(paper, strict, columns_of):
    for report in (paper, strict):
        notes = [each for each in report.findings if each.severity is Severity.NOTE]
        assert {Check.OVERLAP, Check.REPEATED_ROWS} <= {note.check for note in notes}
        assert {"average_price_gbp", "average_discount"} <= columns_of(notes, Check.HALVES)
    assert columns_of(paper.findings, Check.SELECTION) == {"customers"}


def test_strict_finds_no_leak_in_the_twin(strict, columns_of):
    assert strict.leaks == ()
    assert columns_of(strict.findings, Check.MISSING_ROWS) == {"customers"}


@pytest.mark.parametrize("seed", range(5))
def test_strict_finds_no_leak_in_honest_data(make_tables, seed):
    report = audit(index_tables(make_tables(seed))[0], Protocol.STRICT)
    assert report.leaks == ()


def test_planted_leaks_are_found_all_at_once_and_nothing_else(dated, plant, columns_of):
    arrays = EventArrays.of(dated)
    number = len(arrays.customer)
    known, everyone = np.ones(number, dtype=bool), np.arange(number)
    histories = {
        delay: dated_history(
            {"customer": arrays.customer}, arrays.day, arrays.returned, known, everyone, delay
        )["customer_earlier_return_rate"]
        for delay in (-1, 0)
    }
    random = np.random.default_rng(0)
    leaking = dated
    for name, values in {
        "copied": arrays.returned.astype(np.float64),
        "same_day": histories[-1],
        "filled_in": np.where(arrays.returned == 1, random.random(number), np.nan),
        "shipped": (arrays.day + 2).astype("datetime64[D]"),
        "honest": histories[0],
    }.items():
        leaking = plant(leaking, values, name=name)
    leaks = audit(leaking, Protocol.STRICT).leaks
    assert columns_of(leaks, Check.SINGLE_COLUMN) >= {"copied", "same_day"}
    assert columns_of(leaks, Check.COMPUTED) == {"same_day"}
    assert columns_of(leaks, Check.MISSING_VALUES) == {"filled_in"}
    assert columns_of(leaks, Check.LATER_DATE) == {"shipped"}
    assert not any(
        name in ("honest", "order_price", "price") for leak in leaks for name in leak.columns
    )


def test_the_report_is_ordered_and_becomes_json(paper):
    severities = [finding.severity for finding in paper.findings]
    assert severities == sorted(severities)
    areas = [column.train.value for column in paper.columns if column.train.value > 0]
    assert areas == sorted(areas, reverse=True)
    content = json.loads(json.dumps(paper.to_json(), allow_nan=False))
    assert content["protocol"] == "paper"
    assert len(content["findings"]) == len(paper.findings)
    assert {each["name"] for each in content["columns"]} == {each.name for each in paper.columns}


def test_progress_is_reported(undated):
    steps: list[float] = []

    class Listener(SilentReporter):
        def progress(self, task: str, completed: float, total: float | None = None) -> None:
            steps.append(completed)

    audit(undated, Protocol.STRICT, reporter=Listener())
    assert steps == list(range(len(CHECKS) + 1))


def test_it_needs_returned_and_kept_training_events(undated_tables, relabel):
    kept = np.zeros(undated_tables.events.num_rows, dtype=np.int8)
    with pytest.raises(ValueError, match="both kinds"):
        audit(index_tables(relabel(undated_tables, kept))[0], Protocol.STRICT)


def test_unlabelled_test_events_are_left_out(undated_tables, relabel):
    dataset = index_tables(undated_tables)[0]
    labels = dataset.events["returned"].to_numpy().astype(object)
    hidden = dataset.split_mask("test") & (np.arange(len(labels)) % 2 == 0)
    labels[hidden] = None
    report = audit(index_tables(relabel(undated_tables, labels))[0], Protocol.STRICT)
    assert report.leaks == ()


@pytest.fixture(scope="module")
def orders() -> Dataset:
    """Real order lines; no row of them leaves the test."""
    if "RETURNS_SHARED_DATA" not in os.environ:
        pytest.skip("RETURNS_SHARED_DATA, the folder of real data, is not set")
    path = Path(os.environ["RETURNS_SHARED_DATA"]) / "fashion_orders" / "orders.csv"
    return index_tables(Orders(path).read(SilentReporter()))[0]


def test_strict_finds_no_leak_in_real_orders(orders):
    report = audit(orders, Protocol.STRICT)
    assert report.leaks == ()
    assert report.columns[0].train.value < LARGEST_HONEST_AUC


def test_the_delivery_date_of_real_orders_is_found_when_declared_known(orders):
    place = orders.events.column_names.index("delivery_date")
    field = orders.events.schema.field(place)
    wrong = field.with_metadata({**field.metadata, b"role": b"order"})
    events = orders.events.set_column(place, wrong, orders.events["delivery_date"])
    leaks = audit(replace(orders, events=events), Protocol.STRICT).leaks
    assert {leak.check for leak in leaks} >= {Check.LATER_DATE, Check.MISSING_VALUES}
    assert {name for leak in leaks for name in leak.columns} == {"delivery_date"}
