import json

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import chi2_contingency

from data.schema import Role, column
from returns.drift import Drift, Level, Pair, Sample, column_pairs, drift_table, measure_drift


def sample(values, customers=None) -> Sample:
    array = pa.array(values)
    numbers = np.arange(len(array)) if customers is None else customers
    return Sample(pa.chunked_array([array]), np.asarray(numbers))


def numeric(before, now) -> Pair:
    later = sample(now, len(before) + np.arange(len(now)))
    return Pair(sample(before), later, categorical=False)


def test_the_psi_is_that_of_the_shares():
    pair = Pair(sample(["a"] * 600 + ["b"] * 400), sample(["a"] * 300 + ["b"] * 700), True)
    (drift,) = measure_drift({"level": pair}).values()
    assert drift.reference == (0.6, 0.4) and drift.current == (0.3, 0.7)
    exact = (0.3 - 0.6) * np.log(0.3 / 0.6) + (0.7 - 0.4) * np.log(0.7 / 0.4)
    assert drift.psi == pytest.approx(exact, rel=5e-3)
    assert drift.level is Level.MAJOR


def test_of_customers_with_one_event_each_the_test_is_pearsons():
    random = np.random.default_rng(0)
    before, now = random.integers(0, 4, 4000), random.choice(4, 3000, p=[0.27, 0.25, 0.25, 0.23])
    pair = Pair(
        sample(before.astype(str)),
        sample(now.astype(str), 4000 + np.arange(3000)),
        categorical=True,
    )
    (drift,) = measure_drift({"level": pair}).values()
    counts = np.stack([np.bincount(before), np.bincount(now)])
    assert drift.p_value == pytest.approx(chi2_contingency(counts).pvalue, rel=0.1)


def test_repeating_every_event_of_a_customer_is_no_evidence():
    random = np.random.default_rng(1)
    before, now = random.normal(size=500), random.normal(0.1, 1, 500)
    once = measure_drift({"x": numeric(before, now)})["x"]
    repeated = measure_drift(
        {
            "x": Pair(
                sample(np.repeat(before, 5), np.repeat(np.arange(500), 5)),
                sample(np.repeat(now, 5), np.repeat(500 + np.arange(500), 5)),
                categorical=False,
            )
        }
    )["x"]
    assert repeated.p_value == pytest.approx(once.p_value, rel=1e-6)


def test_the_same_customers_before_and_now_cancel():
    levels = np.random.default_rng(2).integers(0, 3, 400).astype(str)
    customers = np.arange(400)
    pair = Pair(sample(levels, customers), sample(levels, customers), categorical=True)
    assert measure_drift({"x": pair})["x"].p_value == 1.0


def clustered_pairs(seed: int, shift: float = 0.0, num_columns: int = 12) -> dict[str, Pair]:
    """Columns that customers repeat with little change; the last one shifted by `shift`."""
    random = np.random.default_rng(seed)
    pairs = {}
    sizes = random.integers(1, 9, (2, 250))
    customers = [np.repeat(np.arange(250) + 250 * part, size) for part, size in enumerate(sizes)]
    for place in range(num_columns):
        own = random.normal(size=500)
        values = [own[each] + random.normal(0, 0.4, len(each)) for each in customers]
        if place == num_columns - 1:
            values[1] = values[1] + shift
        samples = [sample(each, who) for each, who in zip(values, customers, strict=True)]
        pairs[f"column {place}"] = Pair(*samples, categorical=False)
    return pairs


def test_without_drift_few_runs_raise_an_alarm():
    runs = 200
    alarms = 0
    for seed in range(runs):
        drifts = measure_drift(clustered_pairs(seed)).values()
        alarms += any(drift.level is not Level.STABLE for drift in drifts)
    # 0.05 in expectation; 0.10 is more than three standard errors above it.
    assert alarms / runs <= 0.10


def test_that_alarm_rate_needs_the_correction_for_customers():
    alarms = 0
    for seed in range(20):
        pairs = {
            name: Pair(
                sample(pair.reference.values.to_pylist()),
                sample(
                    pair.current.values.to_pylist(), 10_000 + np.arange(len(pair.current.values))
                ),
                categorical=False,
            )
            for name, pair in clustered_pairs(seed).items()
        }
        drifts = measure_drift(pairs).values()
        alarms += any(drift.level is not Level.STABLE for drift in drifts)
    assert alarms >= 15


def test_a_planted_drift_is_found_and_named_alone():
    found = [measure_drift(clustered_pairs(seed, shift=0.5)) for seed in range(20)]
    levels = [drifts["column 11"].level for drifts in found]
    assert all(level in (Level.MODERATE, Level.MAJOR) for level in levels)
    others = [
        drift.level is not Level.STABLE
        for drifts in found
        for name, drift in drifts.items()
        if name != "column 11"
    ]
    assert np.mean(others) <= 0.02


def test_a_change_of_the_base_rate_is_found():
    random = np.random.default_rng(3)
    before, now = random.random(4000) < 0.5, random.random(1500) < 0.56
    drift = measure_drift({"returned": numeric(before.astype(int), now.astype(int))})["returned"]
    assert drift.level is Level.MINOR
    assert drift.current[1] - drift.reference[1] == pytest.approx(now.mean() - before.mean())


def test_more_missing_values_are_drift():
    random = np.random.default_rng(4)
    before = random.normal(size=2000)
    now = np.where(random.random(2000) < 0.3, np.nan, random.normal(size=2000))
    drifts = measure_drift({"x": numeric(before, now)})
    assert drifts["x"].level is Level.MAJOR
    table = drift_table(drifts)
    assert table.loc["x", "missing before"] == 0.0
    assert table.loc["x", "missing now"] == pytest.approx(0.3, abs=0.05)


def test_nothing_is_said_of_no_events_and_of_a_constant():
    drifts = measure_drift({"none": numeric([], [1.0]), "constant": numeric([1.0] * 9, [1.0] * 9)})
    assert {drift.level for drift in drifts.values()} == {Level.STABLE}
    assert drifts["none"].psi == drifts["constant"].psi == 0.0


def test_columns_pair_by_name_and_kind():
    schema = pa.schema(
        [
            column("price", pa.float64(), Role.ORDER, "price"),
            column("item", pa.int64(), Role.ATTRIBUTE, "item"),
        ]
    )
    table = pa.table([[1.0, 2.0], [7, 8]], schema=schema)
    pairs = column_pairs(table, np.arange(2), table.slice(1), np.arange(1))
    assert {name: pair.categorical for name, pair in pairs.items()} == {
        "price": False,
        "item": True,
    }
    assert len(pairs["item"].current.values) == 1


def test_a_drift_survives_json_and_the_table_has_the_largest_first():
    drifts = measure_drift(clustered_pairs(0, shift=0.5))
    content = json.loads(json.dumps({name: drift.to_json() for name, drift in drifts.items()}))
    assert {name: Drift.from_json(each) for name, each in content.items()} == drifts
    assert drift_table(drifts).index[0] == "column 11"
