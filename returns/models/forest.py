"""Random forest (Breiman, 2001) on quantities and the return rates of levels."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree._tree import Tree

from data.reporter import Reporter
from returns.event_set import EventSet, FeatureMatrix
from returns.layout import FeatureLayout, feature_chunks
from returns.metrics import cross_entropy
from returns.models.base import ONE_BY_ONE, ScoringBatches
from returns.models.saving import (
    Configured,
    read_configuration,
    require_learnable,
    write_configuration,
)
from returns.models.search_space import FloatRange, IntegerRange, SearchSpace
from returns.models.trees import TreeArrays

ARRAYS = "trees.safetensors"

TREES_AT_ONCE = 20
"""Trees grown between two reports of progress."""

ROWS_AT_ONCE = 1 << 14
"""Events scored at a time by one thread."""


@dataclass(eq=False)
class Forest(Configured):
    """Average of trees, each grown on its own bootstrap sample.

    A tree splits a level column best along the return rate of its levels (Breiman et al., 1984),
    so each level becomes its training return rate, shrunk to the overall rate.

    Attributes:
        seed: Of bootstrap samples and candidate columns.
        num_trees: Number of trees.
        max_depth: Splits from root to leaf at most.
        min_samples_leaf: Training events of a leaf at least.
        column_share: Share of the columns that each split chooses from.
        events_per_tree: Size of a tree's bootstrap sample at most.
        level_prior: Weight of the overall return rate in that of a level, in events.
    """

    name: ClassVar[str] = "forest"
    scoring_batches: ClassVar[ScoringBatches] = ONE_BY_ONE
    search_space: ClassVar[SearchSpace] = {
        "max_depth": IntegerRange(6, 24),
        "min_samples_leaf": IntegerRange(5, 500, log=True),
        "column_share": FloatRange(0.05, 0.8),
        "level_prior": FloatRange(1.0, 200.0, log=True),
    }

    num_trees: int = 200
    max_depth: int = 14
    min_samples_leaf: int = 50
    column_share: float = 0.2
    events_per_tree: int = 100_000
    level_prior: float = 20.0

    _layout: FeatureLayout = field(init=False, repr=False)
    _rates: tuple[np.ndarray, ...] = field(init=False, repr=False)
    _arrays: TreeArrays = field(init=False, repr=False)
    _trees: Sequence[Tree] = field(init=False, repr=False)

    def fit(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        """Learn from `train`; the validation events are only measured.

        Raises:
            ValueError: The training events are not of both classes, or labels are unknown.
        """
        require_learnable(train, validation)
        self.refit(train, reporter)
        probabilities = self.predict_proba(validation)
        loss = cross_entropy(validation.labels, probabilities, validation.weights)
        reporter.metrics({"validation_cross_entropy": loss}, step=self.num_trees)

    def refit(self, events: EventSet, reporter: Reporter) -> None:
        """Learn anew from more events.

        Args:
            events: Labelled events.
            reporter: Told of progress.
        """
        self._layout = FeatureLayout.of(events.features)
        self._rates = _level_rates(events, self.level_prior)
        matrix = self._matrix(events.features)
        forest = RandomForestClassifier(
            n_estimators=0,
            max_depth=self.max_depth,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.column_share,
            max_samples=min(self.events_per_tree, len(events)),
            n_jobs=-1,
            random_state=self.seed,
            warm_start=True,
        )
        while forest.n_estimators < self.num_trees:
            reporter.progress(self.name, forest.n_estimators, self.num_trees)
            forest.n_estimators = min(forest.n_estimators + TREES_AT_ONCE, self.num_trees)
            forest.fit(matrix, events.labels, sample_weight=events.weights)
        self._take(TreeArrays.of([tree.tree_ for tree in forest.estimators_]))
        reporter.progress(self.name, self.num_trees, self.num_trees)

    def predict_proba(self, events: EventSet) -> np.ndarray:
        """Probability that each event is returned, float64 `(num_events,)`."""
        self._layout.require(events.features)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            chunks = threads.map(self._score, feature_chunks(events.features, ROWS_AT_ONCE))
            return np.concatenate([np.empty(0), *chunks])

    def save(self, folder: Path) -> None:
        """Write the trees as safetensors, columns, rates and hyper-parameters as JSON."""
        save_file(self._arrays.arrays(), folder / ARRAYS)
        rates = [column.tolist() for column in self._rates]
        write_configuration(folder, self, {"layout": self._layout.to_json(), "rates": rates})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            ValueError: The folder holds another model, or arrays that are not those of trees.
        """
        hyperparameters, fitted = read_configuration(folder, cls.name)
        model = cls(**hyperparameters)
        model._layout = FeatureLayout.from_json(fitted["layout"])
        model._rates = tuple(np.asarray(column, np.float32) for column in fitted["rates"])
        arrays = load_file(folder / ARRAYS)
        model._take(TreeArrays.from_arrays(arrays, len(model._layout.names)))
        return model

    def _take(self, arrays: TreeArrays) -> None:
        self._arrays = arrays
        self._trees = arrays.build(len(self._layout.names))

    def _matrix(self, features: FeatureMatrix) -> np.ndarray:
        matrix = np.empty((len(features), len(self._layout.names)), dtype=np.float32)
        num_numeric = features.numeric.shape[1]
        matrix[:, :num_numeric] = features.numeric
        for column, rates in enumerate(self._rates):
            # A code of -1, an unknown level, takes the NaN at the end.
            rates_and_unknown = np.append(rates, np.float32(np.nan))
            matrix[:, num_numeric + column] = rates_and_unknown[features.categorical[:, column]]
        return matrix

    def _score(self, features: FeatureMatrix) -> np.ndarray:
        matrix = self._matrix(features)
        total = np.zeros(len(features))
        end = 0
        for tree in self._trees:
            start, end = end, end + tree.node_count
            total += self._arrays.probability[start:end][tree.apply(matrix)]
        return total / len(self._trees)


def _level_rates(train: EventSet, prior: float) -> tuple[np.ndarray, ...]:
    """Shrunk return rate of each level of each categorical column, float32 `(num_levels,)`."""
    weights = train.weights.astype(np.float64)
    overall = np.average(train.labels, weights=weights)
    rates = []
    for codes, levels in zip(train.features.categorical.T, train.features.levels, strict=True):
        known = codes >= 0
        weight = np.bincount(codes[known], weights[known], minlength=len(levels))
        returned = np.bincount(codes[known], (weights * train.labels)[known], minlength=len(levels))
        rates.append(((returned + prior * overall) / (weight + prior)).astype(np.float32))
    return tuple(rates)
