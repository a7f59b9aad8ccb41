import numpy as np
import pyarrow as pa
import pytest

from returns.comparisons import (
    above_mean,
    number_against_past,
    relative_to_mean,
    relative_values,
    share_of_numbers,
)

DAY = np.array([0, 1, 1, 2])


def test_a_price_is_compared_with_the_mean_of_strictly_earlier_ones():
    price, item = np.array([10.0, 20.0, 40.0, 30.0]), np.zeros(4, dtype=np.int64)
    features = relative_values({"price": price}, {"item": item}, DAY, np.arange(4))
    relative = features["price_to_mean_of_item"]
    assert np.isnan(relative[0])
    assert relative[1:].tolist() == pytest.approx([2.0, 4.0, 30 / (70 / 3)])


def test_unknown_prices_and_keys_compare_with_nothing():
    price, item = np.array([np.nan, 20.0, 40.0, 30.0]), np.array([0, 0, -1, 0])
    features = relative_values({"price": price}, {"item": item}, DAY, np.arange(4))
    relative = features["price_to_mean_of_item"]
    assert np.isnan(relative[:3]).all()
    assert relative[3] == pytest.approx(1.5)


def test_a_size_is_compared_with_what_the_customer_kept_and_returned():
    size = np.array([38.0, 40.0, np.nan, 42.0])
    returned = np.array([0, 1, 0, -1], dtype=np.int8)
    known = np.array([True, True, True, False])
    features = number_against_past(
        {"size": size}, np.zeros(4, dtype=np.int64), DAY, returned, known, np.arange(4)
    )
    assert np.array_equal(features["size_number"], size, equal_nan=True)
    assert features["size_above_kept"][3] == 4.0
    assert features["size_above_returned"][3] == 2.0
    assert np.isnan(features["size_above_returned"][:3]).all()


def test_numbers_among_levels_are_counted():
    column = pa.chunked_array([["40", "40+", "7.5", "xl", None], ["m", "s"]])
    assert share_of_numbers(column) == 0.5
    assert share_of_numbers(pa.chunked_array([[None]], type=pa.string())) == 0.0


def test_numbers_too_large_for_single_precision_are_unknown():
    assert share_of_numbers(pa.chunked_array([["9" * 60, "40"]])) == 0.5
    one = np.array([1])
    quotient = relative_to_mean("price", "item", np.array([1e38]), one, np.array([1e-3]))
    assert np.isnan(quotient["price_to_mean_of_item"][0])
    difference = above_mean("size", "kept", np.array([3e38]), one, np.array([-3e38]))
    assert np.isnan(difference["size_above_kept"][0])
