from collections.abc import Callable

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from returns.models.trees import DTYPES, TreeArrays

NUM_FEATURES = 5


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(800, NUM_FEATURES)).astype(np.float32)
    matrix[random.random(matrix.shape) < 0.2] = np.nan
    return matrix


@pytest.fixture(scope="module")
def forest(matrix: np.ndarray) -> RandomForestClassifier:
    labels = (np.nan_to_num(matrix[:, 0], nan=1.0) + np.isnan(matrix[:, 1]) > 0.5).astype(int)
    return RandomForestClassifier(7, max_depth=6, random_state=0).fit(matrix, labels)


@pytest.fixture
def arrays(forest: RandomForestClassifier) -> dict[str, np.ndarray]:
    trees = TreeArrays.of([tree.tree_ for tree in forest.estimators_])
    return {name: array.copy() for name, array in trees.arrays().items()}


def test_rebuilt_trees_walk_to_the_same_leaves(
    arrays: dict[str, np.ndarray], forest: RandomForestClassifier, matrix: np.ndarray
) -> None:
    rebuilt = TreeArrays.from_arrays(arrays, NUM_FEATURES).build(NUM_FEATURES)
    assert len(rebuilt) == len(forest.estimators_)
    for tree, original in zip(rebuilt, forest.estimators_, strict=True):
        np.testing.assert_array_equal(tree.apply(matrix), original.tree_.apply(matrix))
        np.testing.assert_allclose(
            tree.predict(matrix), original.tree_.predict(matrix), rtol=0, atol=1e-15
        )


def first_inner(arrays: dict[str, np.ndarray]) -> int:
    return int(np.flatnonzero(arrays["left"] >= 0)[0])


def first_leaf(arrays: dict[str, np.ndarray]) -> int:
    return int(np.flatnonzero(arrays["left"] < 0)[0])


def put(
    name: str, where: Callable[[dict[str, np.ndarray]], int], value: float
) -> Callable[..., None]:
    def tamper(arrays: dict[str, np.ndarray]) -> None:
        arrays[name][where(arrays)] = value

    return tamper


def cast(name: str) -> Callable[..., None]:
    def tamper(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = arrays[name].astype(np.float32)

    return tamper


def shorten(name: str) -> Callable[..., None]:
    def tamper(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = arrays[name][:-1]

    return tamper


def share_a_child(arrays: dict[str, np.ndarray]) -> None:
    inner = first_inner(arrays)
    arrays["left"][inner] = arrays["right"][inner]


def drop(arrays: dict[str, np.ndarray]) -> None:
    del arrays["threshold"]


def empty(arrays: dict[str, np.ndarray]) -> None:
    for name, dtype in DTYPES.items():
        arrays[name] = np.empty(0, dtype)


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (put("left", first_inner, 0), "'left' is out of range or not below"),
        (put("left", first_inner, 10_000), "'left' is out of range"),
        (put("right", first_inner, 2**31 - 1), "'right' is out of range"),
        (put("right", first_inner, -5), "'right' is out of range"),
        (put("left", first_inner, -1), "same leaves"),
        (put("right", first_leaf, 3), "same leaves"),
        (put("left", first_leaf, -2), "same leaves"),
        (share_a_child, "no parent, or several"),
        (put("feature", first_inner, NUM_FEATURES), "'feature' is out of range"),
        (put("feature", first_inner, -1), "'feature' is out of range"),
        (put("threshold", first_inner, np.nan), "'threshold' has a NaN"),
        (put("unknown_goes_left", first_inner, 2), "'unknown_goes_left' must be 0 or 1"),
        (put("probability", first_leaf, np.nan), "'probability' must lie in"),
        (put("probability", first_leaf, 1.5), "'probability' must lie in"),
        (put("node_counts", lambda arrays: 0, 0), "'node_counts' must hold positive"),
        (put("node_counts", lambda arrays: 0, 3), "does not add up"),
        (put("depths", lambda arrays: 0, -1), "'depths' is out of range"),
        (put("depths", lambda arrays: 0, 10**6), "'depths' is out of range"),
        (cast("threshold"), "'threshold' has the wrong type or shape"),
        (shorten("feature"), "'feature' has the wrong type or shape"),
        (shorten("depths"), "'depths' has the wrong type or shape"),
        (drop, "tree arrays must be"),
        (empty, "'node_counts' must hold positive"),
    ],
)
def test_tampered_arrays_are_refused(
    tamper: Callable[..., None], message: str, arrays: dict[str, np.ndarray]
) -> None:
    TreeArrays.from_arrays(arrays, NUM_FEATURES)
    tamper(arrays)
    with pytest.raises(ValueError, match=message):
        TreeArrays.from_arrays(arrays, NUM_FEATURES)
