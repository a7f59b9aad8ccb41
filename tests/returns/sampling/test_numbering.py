import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from returns.sampling.numbering import SortedNumbering, TableNumbering

NUM_KEYS = 12
HOPS = st.lists(
    st.lists(st.lists(st.integers(0, NUM_KEYS - 1), max_size=15), max_size=3), max_size=4
)


@given(HOPS)
def test_numbers_follow_the_hops_and_both_numberings_agree(hops):
    known: list[int] = []
    numberings = TableNumbering(NUM_KEYS), SortedNumbering()
    for hop in hops:
        new = sorted({key for part in hop for key in part} - set(known))
        known += new
        for numbering in numberings:
            numbers = numbering.add([np.array(part, dtype=np.int64) for part in hop])
            assert [list(part) for part in numbers] == [
                [known.index(key) for key in part] for part in hop
            ]
            assert numbering.hops[-1].tolist() == new
