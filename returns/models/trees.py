"""Classification trees as plain arrays: saved without pickle, checked, and rebuilt.

A tree library's own objects are saved by pickle alone, and a pickle can run anything when it is
read. Arrays cannot, but its compiled traversal trusts them: a child or feature out of range would
read foreign memory and a cycle would never end, so nothing is rebuilt before `check` has passed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from sklearn.tree._tree import NODE_DTYPE, Tree

LEAF = -1
"""Stands for the missing children of a leaf."""

DTYPES = {
    "node_counts": np.int64,
    "depths": np.int64,
    "left": np.int32,
    "right": np.int32,
    "feature": np.int32,
    "threshold": np.float64,
    "unknown_goes_left": np.uint8,
    "probability": np.float64,
}
"""Element type of each array."""


@dataclass(frozen=True)
class TreeArrays:
    """The nodes of several trees, tree after tree, parents before their children.

    Attributes:
        node_counts: Number of nodes of each tree, int64 `(num_trees,)`.
        depths: Depth of each tree, int64 `(num_trees,)`.
        left: Child for values up to the threshold, by its place in the tree, -1 at a leaf,
            int32 `(num_nodes,)`.
        right: Child for larger values, int32 `(num_nodes,)`.
        feature: Column that a node splits, int32 `(num_nodes,)`.
        threshold: Where it splits, float64 `(num_nodes,)`.
        unknown_goes_left: 1 where an unknown value goes left, uint8 `(num_nodes,)`.
        probability: Of a return among the training events of the node, float64 `(num_nodes,)`.
    """

    node_counts: np.ndarray
    depths: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    unknown_goes_left: np.ndarray
    probability: np.ndarray

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> Self:
        """The arrays of fitted binary classification trees."""

        def joined(name: str, parts: list[np.ndarray]) -> np.ndarray:
            return np.concatenate(parts).astype(DTYPES[name])

        return cls(
            node_counts=np.array([tree.node_count for tree in trees], np.int64),
            depths=np.array([tree.max_depth for tree in trees], np.int64),
            left=joined("left", [tree.children_left for tree in trees]),
            right=joined("right", [tree.children_right for tree in trees]),
            feature=joined("feature", [tree.feature for tree in trees]),
            threshold=joined("threshold", [tree.threshold for tree in trees]),
            unknown_goes_left=joined(
                "unknown_goes_left", [tree.missing_go_to_left for tree in trees]
            ),
            probability=joined("probability", [tree.value[:, 0, 1] for tree in trees]),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], num_features: int) -> Self:
        """Take arrays that were read from a file, after checking them.

        Args:
            arrays: What `arrays` gave.
            num_features: Number of columns that the trees may split.

        Raises:
            ValueError: The arrays are not those of trees.
        """
        if set(arrays) != set(DTYPES):
            raise ValueError(f"tree arrays must be {sorted(DTYPES)}, found {sorted(arrays)}")
        trees = cls(**arrays)
        trees.check(num_features)
        return trees

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def check(self, num_features: int) -> None:
        """Make sure that walking the trees ends, and stays inside the arrays.

        Args:
            num_features: Number of columns that the trees may split.

        Raises:
            ValueError: Says which array is wrong.
        """
        for name, array in self.arrays().items():
            expected = (
                len(self.node_counts) if name in ("node_counts", "depths") else len(self.left)
            )
            if array.dtype != DTYPES[name] or array.shape != (expected,):
                raise ValueError(f"tree array '{name}' has the wrong type or shape")
        if len(self.node_counts) == 0 or (self.node_counts < 1).any():
            raise ValueError("tree array 'node_counts' must hold positive numbers")
        if self.node_counts.sum() != len(self.left):
            raise ValueError("tree array 'node_counts' does not add up to the number of nodes")
        if (self.depths < 0).any() or (self.depths >= self.node_counts).any():
            raise ValueError("tree array 'depths' is out of range")
        self._check_children()
        inner = self.left != LEAF
        if not ((self.feature[inner] >= 0) & (self.feature[inner] < num_features)).all():
            raise ValueError("tree array 'feature' is out of range")
        if np.isnan(self.threshold[inner]).any():
            raise ValueError("tree array 'threshold' has a NaN")
        if (self.unknown_goes_left > 1).any():
            raise ValueError("tree array 'unknown_goes_left' must be 0 or 1")
        if not ((self.probability >= 0) & (self.probability <= 1)).all():
            raise ValueError("tree array 'probability' must lie in [0, 1]")

    def _check_children(self) -> None:
        first = np.cumsum(self.node_counts) - self.node_counts
        place = np.arange(len(self.left)) - np.repeat(first, self.node_counts)
        count = np.repeat(self.node_counts, self.node_counts)
        inner = self.left != LEAF
        if ((self.right == LEAF) == inner).any():
            raise ValueError("tree arrays 'left' and 'right' must mark the same leaves")
        for name, child in (("left", self.left), ("right", self.right)):
            if ((child <= place) & inner).any() or ((child >= count) & inner).any():
                raise ValueError(f"tree array '{name}' is out of range or not below its parent")
        start = (np.arange(len(self.left)) - place)[inner]
        children = np.concatenate([start + self.left[inner], start + self.right[inner]])
        parents = np.bincount(children, minlength=len(self.left))
        if (parents != (place > 0)).any():
            raise ValueError("a tree node has no parent, or several")

    def build(self, num_features: int) -> list[Tree]:
        """Trees that the library's compiled traversal can walk.

        Args:
            num_features: Number of columns that the trees may split.
        """
        nodes = np.zeros(len(self.left), dtype=NODE_DTYPE)
        nodes["left_child"], nodes["right_child"] = self.left, self.right
        nodes["feature"], nodes["threshold"] = self.feature, self.threshold
        nodes["missing_go_to_left"] = self.unknown_goes_left
        values = np.stack([1 - self.probability, self.probability], axis=1)[:, None, :]
        ends = np.cumsum(self.node_counts)
        trees = []
        for depth, count, end in zip(self.depths, self.node_counts, ends, strict=True):
            tree = Tree(num_features, np.array([2], dtype=np.intp), 1)
            tree.__setstate__(
                {
                    "max_depth": int(depth),
                    "node_count": int(count),
                    "nodes": nodes[end - count : end],
                    "values": values[end - count : end],
                }
            )
            trees.append(tree)
        return trees
