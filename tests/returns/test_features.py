import datetime
import json

import numpy as np
import pyarrow as pa

from data.schema import Role, column
from returns.columns import event_columns, node_columns, quantity
from returns.features import MOST_LEVELS, FeatureEncoder, calendar_features, with_numeric
from returns.protocol import Protocol


def test_roles_decide_what_becomes_a_feature(undated, dated):
    events = np.arange(50)
    strict = set(event_columns(undated, Protocol.STRICT, events).column_names)
    paper = set(event_columns(undated, Protocol.PAPER, events).column_names)
    assert strict == {"year_of_birth", "country", "product", "price"}
    assert paper - strict == {"customer_return_rate"}
    assert "delivered" not in event_columns(dated, Protocol.PAPER, events).column_names


def test_missing_node_rows_are_null(undated):
    events = np.arange(undated.events.num_rows)
    columns = event_columns(undated, Protocol.STRICT, events)
    orphan = undated.events["customer_row"].is_null()
    assert orphan.to_numpy().any()
    assert columns["country"].is_null().equals(orphan)


def test_dates_become_days_before_the_order():
    born = column("born", pa.date32(), Role.PROFILE, "birth")
    table = pa.table([pa.array([datetime.date(1970, 1, 11), None])], schema=pa.schema([born]))
    columns = node_columns(table, Protocol.STRICT, np.array([0, 1, -1]), day=30)
    assert columns["born_days_before_order"].to_pylist() == [20, None, None]


def test_unseen_levels_and_nulls_are_unknown():
    field = column("brand", pa.string(), Role.ATTRIBUTE, "brand")
    price = column("price", pa.float64(), Role.CATALOGUE, "price")
    schema = pa.schema([field, price])
    encoder = FeatureEncoder.fit(pa.table([["b", "a", None], [1.0, None, 3.0]], schema=schema))
    again = FeatureEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    matrix = again.transform(
        pa.table([["a", "b", "new", None], [2.0, None, 1.0, 5.0]], schema=schema)
    )
    assert matrix.categorical[:, 0].tolist() == [0, 1, -1, -1]
    assert matrix.levels == (("a", "b"),)
    assert np.array_equal(matrix.numeric[:, 0], np.float32([2, np.nan, 1, 5]), equal_nan=True)


def test_numbers_too_large_for_single_precision_are_unknown():
    price = column("price", pa.float64(), Role.CATALOGUE, "price")
    table = pa.table([[1e39, -1e300, 3e38, np.inf, None]], schema=pa.schema([price]))
    features = FeatureEncoder.fit(table).transform(table)
    expected = np.float32([np.nan, np.nan, 3e38, np.nan, np.nan])
    assert np.array_equal(features.numeric[:, 0], expected, equal_nan=True)
    more = with_numeric(features, {"total": np.array([1e39, 2.0, np.nan, -np.inf, -2.0])})
    assert more.numeric.dtype == np.float32
    expected = np.float32([np.nan, 2, np.nan, np.nan, -2])
    assert np.array_equal(more.numeric[:, 1], expected, equal_nan=True)
    assert np.array_equal(quantity(table["price"])[2:], [3e38, np.nan, np.nan], equal_nan=True)


def test_columns_of_too_many_levels_are_left_to_history_and_graph():
    field = column("supplier", pa.int64(), Role.ATTRIBUTE, "supplier")
    table = pa.table([np.arange(MOST_LEVELS + 1)], schema=pa.schema([field]))
    assert FeatureEncoder.fit(table).levels == {}


def test_calendar():
    dates = [datetime.date(2012, 2, 29), datetime.date(2013, 3, 4)]
    day = np.array([(date - datetime.date(1970, 1, 1)).days for date in dates])
    features = calendar_features(day)
    assert features["order_weekday"].tolist() == [date.weekday() for date in dates]
    assert features["order_day_of_month"].tolist() == [29, 4]
