import numpy as np

from data.dataset import Dataset
from data.schema import Role
from returns.audit.findings import Finding, Severity
from returns.audit.halves import find_values_of_both_halves
from returns.audit.subject import Subject
from returns.protocol import Protocol


def found(dataset: Dataset, protocol: Protocol) -> list[Finding]:
    return list(find_values_of_both_halves(Subject.prepare(dataset, protocol, 0)))


def test_the_twins_product_totals_are_the_same_in_both_halves(twin):
    (leak,) = [each for each in found(twin, Protocol.PAPER) if each.severity is Severity.LEAK]
    assert {"sales_per_product", "returns_per_product", "product_return_rate"} <= set(leak.columns)
    assert {"top_return_reason", "variant_return_code_d2"} <= set(leak.columns)
    assert leak.figures["least share equal"] == 1
    assert not any("customer" in name for name in leak.columns)


def test_the_twins_customer_totals_are_computed_anew(twin):
    notes = [each for each in found(twin, Protocol.PAPER) if each.severity is Severity.NOTE]
    anew, means = (set(note.columns) for note in notes)
    assert {"sales_per_customer", "returns_per_customer", "customer_return_rate"} <= anew
    assert means == {"average_price_gbp", "average_discount"}


def test_strict_sees_means_at_most(twin):
    (note,) = found(twin, Protocol.STRICT)
    assert note.severity is Severity.NOTE
    assert note.columns == ("average_price_gbp", "average_discount")


def test_a_column_that_is_nearly_always_the_same_proves_nothing(undated, plant):
    random = np.random.default_rng(0)
    number = undated.customers.num_rows
    rare = (random.random(number) < 0.02) * random.random(number)
    planted = plant(undated, rare, "customers", "rare", Role.AGGREGATE)
    names = {name for each in found(planted, Protocol.PAPER) for name in each.columns}
    assert "rare" not in names
    assert "customer_return_rate" in names


def test_nulls_in_both_halves_are_equal_and_in_one_are_not(undated, plant):
    half = undated.customers.num_rows // 2
    row = np.arange(half, dtype=np.float64)
    values = np.append(row, row)
    values[10:40] = values[half + 10 : half + 70] = np.nan
    planted = plant(undated, values, "customers", "planted", Role.AGGREGATE)
    note = next(each for each in found(planted, Protocol.PAPER) if "planted" in each.columns)
    assert note.severity is Severity.NOTE
    same_nulls = np.append(values[half:], values[half:])
    planted = plant(undated, same_nulls, "customers", "planted", Role.AGGREGATE)
    leak = next(each for each in found(planted, Protocol.PAPER) if "planted" in each.columns)
    assert leak.severity is Severity.LEAK


def test_a_source_without_halves_says_nothing(dated):
    assert not found(dated, Protocol.PAPER)
