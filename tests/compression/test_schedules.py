"""Schedules of sparsity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression.errors import SparsityError
from compression.schedules import cubic, geometric


@given(st.sampled_from([cubic, geometric]), st.floats(0, 0.99), st.floats(0, 1), st.integers(1, 20))
def test_schedules_rise_to_the_end(schedule, final, share, stages):
    initial = share * final
    sparsities = schedule(final, stages, initial)
    assert len(sparsities) == stages
    assert sparsities[-1] == final
    assert all(a <= b + 1e-12 for a, b in zip([initial, *sparsities], sparsities, strict=False))


def test_known_values():
    assert geometric(0.75, 2) == pytest.approx([0.5, 0.75])
    assert geometric(0.9, 2, 0.6) == pytest.approx([0.8, 0.9])
    assert cubic(0.8, 2) == pytest.approx([0.7, 0.8])
    assert cubic(0.9, 2, 0.5) == pytest.approx([0.85, 0.9])


@pytest.mark.parametrize("schedule", [cubic, geometric])
def test_nonsense_is_refused(schedule):
    for final, stages, initial in ((1.0, 3, 0.0), (0.5, 3, 0.6), (0.5, 0, 0.0), (0.5, 2, -0.1)):
        with pytest.raises(SparsityError):
            schedule(final, stages, initial)
