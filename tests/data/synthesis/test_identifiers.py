"""Ids are unique, in range, and decided by the seed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data.synthesis.identifiers import Identifiers

INDICES = np.arange(300_000, dtype=np.int32)


@given(st.integers(0, 2**32))
def test_no_two_ids_are_equal(seed: int) -> None:
    indices = INDICES[:5_000]
    identifiers = Identifiers(np.random.default_rng(seed))
    variants, products = identifiers.of_variants(indices), identifiers.of_products(indices)
    assert len(np.unique(np.concatenate([variants, products]))) == 2 * len(indices)
    assert len(np.unique(identifiers.of_customers(indices))) == len(indices)
    assert len(np.unique(identifiers.of_suppliers(indices))) == len(indices)


def test_ids_fill_the_range_of_the_release() -> None:
    identifiers = Identifiers(np.random.default_rng(0))
    for ids, bits in (
        (identifiers.of_customers(INDICES), 32),
        (identifiers.of_suppliers(INDICES), 32),
        (identifiers.of_variants(INDICES), 64),
        (identifiers.of_products(INDICES), 64),
    ):
        assert ids.dtype == np.int64
        limit = 2.0 ** (bits - 1)
        assert -limit <= ids.min() < -0.999 * limit
        assert 0.999 * limit < ids.max() < limit


def test_ids_do_not_follow_the_order_of_the_indices() -> None:
    ids = Identifiers(np.random.default_rng(1)).of_customers(INDICES).astype(np.float64)
    assert abs(np.corrcoef(INDICES, ids)[0, 1]) < 0.01


def test_another_seed_gives_other_ids() -> None:
    first, second = (Identifiers(np.random.default_rng(seed)) for seed in (0, 1))
    assert not np.intersect1d(first.of_variants(INDICES), second.of_variants(INDICES)).size
