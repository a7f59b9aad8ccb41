"""The checks of the future find what is planted in the code that builds the features."""

import numpy as np
import pytest

from data.dataset import Dataset, index_tables
from returns import history
from returns.audit.future import find_columns_that_hear_the_future
from returns.audit.subject import Subject
from returns.protocol import Protocol


def found(dataset: Dataset, protocol: Protocol = Protocol.STRICT) -> dict[str, set[str]]:
    """Columns that change, by what was changed."""
    columns: dict[str, set[str]] = {}
    for finding in find_columns_that_hear_the_future(Subject.prepare(dataset, protocol, 0)):
        columns.setdefault(finding.explanation, set()).update(finding.columns)
    return columns


@pytest.mark.parametrize("protocol", list(Protocol))
def test_nothing_changes(make_tables, protocol):
    assert not found(index_tables(make_tables())[0], protocol)


def test_a_history_that_knows_the_scored_labels_is_found(make_tables, monkeypatch):
    def leaking(dataset: Dataset, split: str) -> np.ndarray:
        return dataset.split_mask("train", "validation", "test")

    monkeypatch.setattr("returns.past.known_labels", leaking)
    dataset, _ = index_tables(make_tables())
    columns = found(dataset)["features of test events change when test labels are turned round"]
    assert "customer_earlier_return_rate" in columns
    assert not {"year_of_birth", "price", "order_price"} & columns


def test_a_history_that_knows_the_same_day_is_found(dated, monkeypatch):
    def leaking(keys, day, returned, known, targets, label_delay_days=0):
        return history.dated_history(keys, day, returned, known, targets, -1)

    monkeypatch.setattr("returns.past.dated_history", leaking)
    columns = found(dated)
    same_day = "change when labels of the same day and later are turned round"
    assert "customer_earlier_return_rate" in columns[f"features of train events {same_day}"]


def test_a_history_of_ones_own_fold_is_found(undated, monkeypatch):
    def leaking(keys, customer, variant, returned, known, targets, cross_fit):
        return history.undated_history(keys, customer, variant, returned, known, targets, False)

    monkeypatch.setattr("returns.past.undated_history", leaking)
    (explanation,) = found(undated)
    assert "their own labels" in explanation


def test_a_count_of_later_orders_is_found(dated, monkeypatch):
    def leaking(keys, day, returned, known, targets, label_delay_days=0):
        features = history.dated_history(keys, day, returned, known, targets, label_delay_days)
        orders = np.bincount(keys["variant"])[keys["variant"][targets]]
        return features | {"variant_earlier_orders": orders.astype(np.float32)}

    monkeypatch.setattr("returns.past.dated_history", leaking)
    for explanation, columns in found(dated).items():
        assert "later orders are cut off" in explanation
        assert columns == {"variant_earlier_orders"}


def test_weights_fitted_on_the_test_are_found(undated, monkeypatch):
    from returns.missing_rows import MissingRowWeights

    def leaking(dataset, events, labels):
        test = dataset.events["returned"].to_numpy()[dataset.split_mask("test")]
        return MissingRowWeights({"customers": float(test.mean())}, {"customers": 1.0})

    monkeypatch.setattr("returns.preparation.MissingRowWeights.fit", leaking)
    (explanation,) = found(undated)
    assert "weights" in explanation
