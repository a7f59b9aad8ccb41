"""Random subsets of many sets at once, each fixed by a key and by nothing else.

What is drawn for a set depends neither on the sets drawn beside it, nor on their order, nor on the
process. SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) makes the random bits; Floyd's algorithm
(Bentley and Floyd, CACM 30(9), 1987) draws without replacement, at a cost that does not grow with
the size of the set.
"""

import numpy as np

GAMMA = 0x9E3779B97F4A7C15
"""Odd distance between the states of one SplitMix64 stream."""


def mixed(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit numbers one to one; outputs of neighbouring inputs look independent.

    Args:
        values: uint64, any shape.
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scrambled: np.ndarray = values ^ (values >> np.uint64(31))
    return scrambled


def random_subsets(sizes: np.ndarray, number: int, keys: np.ndarray) -> np.ndarray:
    """Draw distinct members of each set, every subset as likely as any other.

    Args:
        sizes: Size of each set, int64 `(num_sets,)`, at least `number` and below 2^32.
        number: Members to draw from each.
        keys: Key of each set, uint64 `(num_sets,)`; equal keys and sizes draw alike.

    Returns:
        The members drawn, numbered from 0, int64 `(num_sets, number)`, in no order to rely on. A
        member's chance is off by less than `size / 2^32` of itself.
    """
    drawn = np.empty((number, len(sizes)), dtype=np.int64)
    for place in range(number):
        bits = mixed(keys + np.uint64((place + 1) * GAMMA % 2**64)) >> np.uint64(32)
        last = sizes - number + place
        member = (bits * (last + 1).astype(np.uint64) >> np.uint64(32)).astype(np.int64)
        already = (drawn[:place] == member).any(axis=0)
        drawn[place] = np.where(already, last, member)
    return drawn.T
