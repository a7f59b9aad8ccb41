from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from returns.sampling.draws import mixed, random_subsets


def keys(number: int, salt: int = 0) -> np.ndarray:
    return mixed(np.arange(number, dtype=np.uint64) + np.uint64(salt * 1_000_003))


@given(st.lists(st.integers(5, 2**32 - 1), max_size=20), st.integers(0, 5))
def test_members_are_distinct_and_of_the_set(sizes, number):
    drawn = random_subsets(np.array(sizes, dtype=np.int64), number, keys(len(sizes)))
    assert drawn.shape == (len(sizes), number)
    for members, size in zip(drawn, sizes, strict=True):
        assert len(set(members)) == number
        assert all(0 <= member < size for member in members)


@pytest.mark.parametrize(("size", "number"), [(5, 2), (6, 3), (4, 1), (5, 4)])
def test_every_subset_is_as_likely_as_any_other(size, number):
    drawn = random_subsets(np.full(40_000, size), number, keys(40_000, salt=size))
    counts = Counter(map(tuple, np.sort(drawn, axis=1)))
    assert set(counts) == set(combinations(range(size), number))
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_a_draw_depends_on_its_own_key_and_size_alone():
    sizes = np.arange(10, 60)
    drawn = random_subsets(sizes, 4, keys(50))
    order = np.random.default_rng(0).permutation(50)[:20]
    assert np.array_equal(random_subsets(sizes[order], 4, keys(50)[order]), drawn[order])
    assert not np.array_equal(random_subsets(sizes, 4, keys(50, salt=1)), drawn)


def test_a_draw_of_everything_is_everything():
    drawn = random_subsets(np.full(100, 7), 7, keys(100))
    assert (np.sort(drawn, axis=1) == np.arange(7)).all()
