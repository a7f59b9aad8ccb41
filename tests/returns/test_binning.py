import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from returns.binning import MISSING, MOST_LEVELS, NEW, OTHER, level_bins, quantile_bins

NUMBERS = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=60)
LEVELS = st.lists(st.one_of(st.none(), st.integers(0, 40).map(str)), max_size=80)


def chunked(values, type_):
    return pa.chunked_array([pa.array(values, type_)])


def test_a_continuous_reference_falls_evenly_into_ten_bins():
    values = np.random.default_rng(0).normal(size=1000)
    (before, now), names = quantile_bins(
        chunked(values, pa.float64()), chunked([1e9], pa.float64())
    )
    assert np.bincount(before).tolist() == [100] * 10
    assert now.tolist() == [9]
    assert names[0].startswith("to ") and names[-1].startswith("over ")


def test_a_constant_has_one_bin_and_what_is_above_another():
    (before, now), names = quantile_bins(chunked([5, 5], pa.int64()), chunked([5, 6], pa.int64()))
    assert before.tolist() == [0, 0]
    assert now.tolist() == [0, 1]
    assert len(names) == 2


def test_missing_numbers_have_a_bin_of_their_own():
    (before, now), names = quantile_bins(
        chunked([1.0, None], pa.float64()), chunked([np.nan, 1.0], pa.float64())
    )
    assert names[-1] == MISSING
    assert before.tolist() == now[::-1].tolist() == [0, 1]


def test_levels_beyond_the_most_frequent_share_a_bin_and_new_ones_another():
    reference = [str(level) for level in range(MOST_LEVELS + 5) for _ in range(30 - level)]
    (before, now), names = level_bins(
        chunked(reference, pa.string()), chunked(["0", "24", "unheard of", None], pa.string())
    )
    assert names == (*(str(level) for level in range(MOST_LEVELS)), OTHER, NEW, MISSING)
    assert [names[code] for code in now] == ["0", OTHER, NEW, MISSING]
    assert np.bincount(before)[MOST_LEVELS] == sum(30 - level for level in range(20, 25))


@given(reference=NUMBERS, current=NUMBERS)
def test_every_number_has_one_bin_and_no_bin_is_empty(reference, current):
    codes, names = quantile_bins(chunked(reference, pa.float64()), chunked(current, pa.float64()))
    assert [len(code) for code in codes] == [len(reference), len(current)]
    assert set(np.concatenate(codes)) == set(range(len(names)))


@given(reference=LEVELS, current=LEVELS)
def test_every_level_has_one_bin_and_no_bin_is_empty(reference, current):
    codes, names = level_bins(chunked(reference, pa.string()), chunked(current, pa.string()))
    assert [len(code) for code in codes] == [len(reference), len(current)]
    assert set(np.concatenate(codes)) == set(range(len(names)))
