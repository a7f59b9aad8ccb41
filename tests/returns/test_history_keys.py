import json

import numpy as np

from returns.history_keys import BANDS, HistoryKeys, quantity_values
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
