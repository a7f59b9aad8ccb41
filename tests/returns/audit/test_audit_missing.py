from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from data.dataset import Dataset, index_tables
from data.schema import Role
from returns.audit.findings import Finding, Severity
from returns.audit.missing import find_telling_missing_rows, find_telling_missing_values
from returns.audit.subject import Subject
from returns.knowledge import EventArrays
from returns.protocol import Protocol


def rows_found(dataset: Dataset, protocol: Protocol = Protocol.STRICT) -> list[Finding]:
    return list(find_telling_missing_rows(Subject.prepare(dataset, protocol, 0)))


def values_found(dataset: Dataset) -> list[tuple[str, ...]]:
    subject = Subject.prepare(dataset, Protocol.STRICT, 0)
    return [finding.columns for finding in find_telling_missing_values(subject)]


@pytest.fixture
def dataset(make_tables) -> Dataset:
    return index_tables(make_tables())[0]


def test_the_twins_missing_customers_are_a_leak_that_strict_weights_cancel(twin):
    (leak,) = rows_found(twin, Protocol.PAPER)
    assert (leak.severity, leak.columns) == (Severity.LEAK, ("customers",))
    assert 0.06 < leak.figures["rate difference"] < 0.14
    (note,) = rows_found(twin, Protocol.STRICT)
    assert (note.severity, note.columns) == (Severity.NOTE, ("customers",))
    assert note.figures["in train"] == leak.figures["in train"]
    assert abs(note.figures["in train, weighted"]) < 1e-6


def test_missing_rows_are_found_though_the_source_does_not_say_so(twin):
    (leak,) = rows_found(replace(twin, missing_rows_leak=()))
    assert (leak.severity, leak.columns) == (Severity.LEAK, ("customers",))


def test_rows_missing_by_chance_are_not_found(twin):
    """A third of the twin's variants has no row, and hardly any other return rate."""
    assert twin.events["variant_row"].null_count > 0.3 * twin.events.num_rows
    by_chance = np.random.default_rng(0).random(twin.events.num_rows) < 0.05
    row = twin.events["variant_row"].to_numpy()
    place = twin.events.column_names.index("customer_row")
    field = twin.events.schema.field(place)
    rows = pa.array(np.nan_to_num(row, nan=0).astype(np.int64) % 1000, mask=by_chance)
    events = twin.events.set_column(place, field, rows)
    assert not rows_found(replace(twin, events=events, missing_rows_leak=()))


def test_nothing_is_said_where_all_rows_are_there(dated):
    assert not rows_found(dated)


@pytest.mark.parametrize("kept_only", [True, False])
def test_values_filled_in_after_the_outcome_are_found(dataset, plant, kept_only):
    returned = EventArrays.of(dataset).returned
    values = np.random.default_rng(0).random(len(returned))
    values[(returned == 0) == kept_only] = np.nan
    assert values_found(plant(dataset, values)) == [("planted",)]


def test_dates_of_nodes_are_judged_among_the_nodes_that_are_there(dated, plant):
    """Two thirds of the customers without a return have no date of their last complaint."""
    random = np.random.default_rng(0)
    arrays = EventArrays.of(dated)
    returns = np.bincount(arrays.customer, arrays.returned)
    few = returns[dated.customers["customer"].to_numpy()] < np.median(returns)
    day = 15000 + random.integers(0, 300, dated.customers.num_rows)
    dates = pa.array(day.astype("datetime64[D]"), mask=few).to_numpy(zero_copy_only=False)
    leaking = plant(dated, dates, "customers", "complained", Role.PROFILE)
    assert values_found(leaking) == [("complained",)]


def test_values_missing_by_chance_or_habit_are_not_found(dataset, plant):
    """Blanks that move the return rate by five points, as a date of birth left out may."""
    random = np.random.default_rng(0)
    returned = EventArrays.of(dataset).returned
    for share_kept, share_returned in ((0.2, 0.2), (0.22, 0.18)):
        blank = random.random(len(returned)) < np.where(returned, share_returned, share_kept)
        assert not values_found(plant(dataset, np.where(blank, np.nan, 1.0)))


def test_blanks_of_one_variant_are_no_evidence(dataset, plant):
    """A gift card has no colour and is never sent back; many events, but one variant."""
    arrays = EventArrays.of(dataset)
    variants = np.bincount(arrays.variant, 1 - arrays.returned)
    card = arrays.variant == variants.argmax()
    assert not values_found(plant(dataset, np.where(card, np.nan, 1.0)))
