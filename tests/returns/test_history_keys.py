import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from data.dataset import Dataset, index_tables
from data.schema import Role, column
from data.validation import InputError
from returns.computed_names import dated_names, undated_names
from returns.history_keys import BANDS, HistoryKeys, quantity_values
from returns.preparation import Preparation
from returns.protocol import Protocol


def fitted(dataset):
    return HistoryKeys.fit(dataset, Protocol.STRICT, np.flatnonzero(dataset.split_mask("train")))


def test_pairs_are_finer_than_their_parts_and_nested_attributes_make_none(dated):
    keys = fitted(dated)
    single = keys.single(dated, Protocol.STRICT)
    crossed = keys.crossed(dated, single)
    assert keys.pairs == (("product", "size"),)
    assert keys.numbered == ("size",)
    for one, other in keys.pairs:
        pair = crossed[f"{one}_x_{other}"]
        known = pair >= 0
        assert np.array_equal(known, (single[one] >= 0) & (single[other] >= 0))
        for part in (one, other):
            assert len(np.unique(pair[known])) > len(np.unique(single[part][known]))
    assert set(keys.variant_attributes) <= set(single)


def test_bands_hold_about_as_many_events_each(dated):
    keys = fitted(dated)
    crossed = keys.crossed(dated, keys.single(dated, Protocol.STRICT))
    for name in quantity_values(dated):
        band = crossed[f"{name}_band"]
        share = np.bincount(band[band >= 0]) / (band >= 0).sum()
        assert len(share) <= BANDS
        assert share.max() < 2.5 / BANDS


def test_keys_survive_json(dated):
    keys = fitted(dated)
    assert HistoryKeys.from_json(json.loads(json.dumps(keys.to_json()))) == keys


def with_columns(tables, **roles: Role) -> Dataset:
    """The dataset with further columns of whole numbers: attributes of variants, or of orders."""
    parts = {True: tables.variants, False: tables.events}
    for name, role in roles.items():
        table = parts[role is Role.ATTRIBUTE]
        values = pa.array(np.arange(table.num_rows) % 7)
        field = column(name, pa.int64(), role, "more")
        parts[role is Role.ATTRIBUTE] = table.append_column(field, values)
    return index_tables(replace(tables, variants=parts[True], events=parts[False]))[0]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("order_price_band", Role.ATTRIBUTE),
        ("customer_x_size", Role.ATTRIBUTE),
        ("all", Role.ATTRIBUTE),
        ("order_weekday", Role.ORDER),
        ("order_weekday", Role.ATTRIBUTE),
        ("basket_lines", Role.ORDER),
        ("basket_others_product_earlier_return_rate", Role.ORDER),
        ("customer_earlier_orders", Role.ORDER),
        ("size_number", Role.ORDER),
        ("order_price_to_mean_of_customer", Role.ORDER),
    ],
)
def test_a_column_named_like_a_computed_one_is_refused(dated_tables, name, role):
    with pytest.raises(InputError, match=f"column '{name}': .* Rename it: .* in the mapping"):
        fitted(with_columns(dated_tables, **{name: role}))


def test_all_clashes_are_told_at_once(dated_tables):
    clashing = {"order_price_band": Role.ATTRIBUTE, "order_weekday": Role.ORDER}
    with pytest.raises(InputError) as error:
        fitted(with_columns(dated_tables, **clashing, fabric=Role.ATTRIBUTE))
    assert [fault.column for fault in error.value.faults] == list(clashing)


def test_what_is_not_computed_of_undated_data_clashes_with_nothing(undated_tables):
    fitted(with_columns(undated_tables, order_weekday=Role.ORDER, price_band=Role.ATTRIBUTE))
    with pytest.raises(InputError, match="variant_earlier_labelled"):
        fitted(with_columns(undated_tables, variant_earlier_labelled=Role.ORDER))


def test_every_computed_feature_is_known_by_name(make_tables):
    """The features beside the columns are those that clashes are looked for among."""
    dataset, _ = index_tables(make_tables())
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    keys = preparation.keys
    found = preparation.event_set(dataset, "test").features.numeric_names
    assert len(set(found)) == len(found)
    single = keys.single(dataset, Protocol.STRICT)
    if dataset.is_dated:
        every_key = [*single, *keys.crossed(dataset, single)]
        names = dated_names(dataset, every_key, keys.parties, keys.quantities, keys.numbered)
    else:
        names = undated_names(dataset, single)
    assert names == set(found) - set(preparation.encoder.numeric_names)
