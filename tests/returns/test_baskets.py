import numpy as np

from returns.baskets import basket_features


def test_basket_features_equal_a_count_over_the_basket(dated):
    events = np.flatnonzero(dated.split_mask("test"))
    features = basket_features(dated, events)
    table = dated.events.take(events)
    basket, price = table["basket"].to_numpy(), table["order_price"].to_numpy()
    product = dated.variants["product"].to_numpy()[table["variant_row"].to_numpy()]
    assert np.bincount(np.unique(basket, return_inverse=True)[1]).max() > 1
    for line in range(len(events)):
        same = basket == basket[line]
        assert features["basket_lines"][line] == same.sum()
        total = price[same].sum()
        assert np.isclose(features["basket_total_order_price"][line], total, rtol=1e-6)
        below = (price[same] < price[line]).mean()
        assert np.isclose(features["basket_rank_order_price"][line], below)
        alike = (same & (product == product[line])).sum()
        assert features["basket_same_product"][line] == alike


def test_no_baskets_no_features(undated):
    assert basket_features(undated, np.arange(10)) == {}
