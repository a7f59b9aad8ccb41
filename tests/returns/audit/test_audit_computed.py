"""Histories of returns that hold labels they should not, in many a formula."""

import numpy as np
import pandas as pd
import pytest

from data.dataset import Dataset, index_tables
from returns.audit.computed import find_columns_computed_from_labels
from returns.audit.findings import Severity
from returns.audit.subject import Subject
from returns.history import dated_history, undated_history
from returns.knowledge import EventArrays
from returns.protocol import Protocol


def found(dataset: Dataset) -> dict[str, str]:
    """Explanation of each column found."""
    findings = list(find_columns_computed_from_labels(Subject.prepare(dataset, Protocol.STRICT, 0)))
    assert all(finding.severity is Severity.LEAK for finding in findings)
    return {finding.columns[0]: finding.explanation for finding in findings}


def frame(dataset: Dataset) -> pd.DataFrame:
    arrays = EventArrays.of(dataset)
    content = {"customer": arrays.customer, "variant": arrays.variant, "label": arrays.returned}
    return pd.DataFrame(content).astype({"label": float})


def rate_over_everything(dataset: Dataset) -> pd.Series:
    return frame(dataset).groupby("variant")["label"].transform("mean")


def smoothed_rate_over_everything(dataset: Dataset) -> pd.Series:
    groups = frame(dataset).groupby("customer")["label"]
    return (groups.transform("sum") + 2) / (groups.transform("count") + 4)


def percentage_of_kept_over_everything(dataset: Dataset) -> pd.Series:
    return 100 - 100 * rate_over_everything(dataset)


def running_number_of_returns(dataset: Dataset) -> pd.Series:
    return frame(dataset).groupby("customer")["label"].cumsum()


def rate_of_all_the_others(dataset: Dataset) -> pd.Series:
    events = frame(dataset)
    groups = events.groupby("variant")["label"]
    return (groups.transform("sum") - events["label"]) / (groups.transform("count") - 1)


def target_encoding_of_training(dataset: Dataset) -> pd.Series:
    events = frame(dataset)
    rates = events[dataset.split_mask("train")].groupby("variant")["label"].mean()
    return events["variant"].map(rates)


@pytest.mark.parametrize(
    ("formula", "window"),
    [
        (rate_over_everything, "variant: over all events"),
        (smoothed_rate_over_everything, "customer: over all events"),
        (percentage_of_kept_over_everything, "variant: over all events"),
        (running_number_of_returns, "customer: up to the line"),
        (rate_of_all_the_others, "variant: over all other events"),
        (target_encoding_of_training, "variant: over the split"),
    ],
)
def test_histories_that_hold_later_or_own_labels_are_found(make_tables, plant, formula, window):
    dataset, _ = index_tables(make_tables())
    explanations = found(plant(dataset, formula(dataset).to_numpy()))
    assert set(explanations) == {"planted"}
    assert window in explanations["planted"]


@pytest.mark.parametrize("key", ["customer", "variant"])
def test_a_history_that_holds_the_day_itself_is_found(dated, plant, key):
    arrays = EventArrays.of(dated)
    everyone = np.arange(len(arrays.customer))
    known = np.ones(len(everyone), dtype=bool)
    for delay, is_leak in ((-1, True), (0, False)):
        history = dated_history(
            {key: getattr(arrays, key)}, arrays.day, arrays.returned, known, everyone, delay
        )
        explanations = found(plant(dated, history[f"{key}_earlier_return_rate"]))
        assert explanations.keys() == ({"planted"} if is_leak else set())
        assert not is_leak or "up to the day" in explanations["planted"]


def test_honest_histories_and_counts_are_not_found(dated, undated, plant):
    events = frame(dated)
    order_number = events.groupby("customer").cumcount().to_numpy() + 1.0
    assert not found(plant(dated, order_number))
    everyone, arrays = np.arange(undated.events.num_rows), EventArrays.of(undated)
    history = undated_history(
        {"customer": arrays.customer},
        arrays.customer,
        arrays.variant,
        arrays.returned,
        undated.split_mask("train"),
        everyone,
        cross_fit=True,
    )
    assert not found(plant(undated, history["customer_earlier_return_rate"]))


def test_flags_and_constants_are_not_found(make_tables, plant):
    dataset, _ = index_tables(make_tables())
    number = dataset.events.num_rows
    random = np.random.default_rng(0)
    rare = [(random.random(number) < share) * 1.0 for share in (0.001, 0.005, 0.03, 0.2)]
    for values in (np.ones(number), *rare, np.full(number, np.nan)):
        assert not found(plant(dataset, values))
