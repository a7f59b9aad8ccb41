"""LightGBM: trees grown leaf by leaf."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import lightgbm
import numpy as np

from returns.event_set import EventSet
from returns.layout import code_matrix
from returns.models.boosting import SHARED_RANGES, BoostedTrees, RoundReports
from returns.models.search_space import IntegerRange, SearchSpace


@dataclass(eq=False)
class LightGBM(BoostedTrees):
    """Trees grown leaf by leaf (Ke et al., 2017).

    Attributes:
        num_leaves: Leaves of a tree at most.
        min_leaf_events: Training events of a leaf at least.
    """

    name: ClassVar[str] = "lightgbm"
    booster_file: ClassVar[str] = "lightgbm.txt"
    search_space: ClassVar[SearchSpace] = {
        **SHARED_RANGES,
        "num_leaves": IntegerRange(7, 255, log=True),
        "min_leaf_events": IntegerRange(20, 2000, log=True),
    }

    num_leaves: int = 21
    min_leaf_events: int = 480

    def _grow(
        self, train: EventSet, validation: EventSet | None, rounds: int, reports: RoundReports
    ) -> lightgbm.Booster:
        parameters = {
            "objective": "binary",
            "metric": "binary_logloss",
            "seed": self.seed,
            # Which histogram layout is faster is otherwise found by timing, and changes sums.
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_leaf_events,
            "bagging_fraction": self.event_share,
            "bagging_freq": 1,
            "feature_fraction": self.column_share,
            "lambda_l2": self.l2_penalty,
        }
        train_set = self._dataset(train, None)

        def report(state: lightgbm.callback.CallbackEnv) -> None:
            results = state.evaluation_result_list or []
            reports(state.iteration + 1, {part: float(loss) for part, _, loss, _ in results})

        if validation is None:
            return lightgbm.train(parameters, train_set, rounds, callbacks=[report])
        booster = lightgbm.train(
            parameters,
            train_set,
            num_boost_round=rounds,
            valid_sets=[train_set, self._dataset(validation, train_set)],
            valid_names=["train", "validation"],
            callbacks=[report, lightgbm.early_stopping(self.patience, verbose=False)],
        )
        text = booster.model_to_string(num_iteration=booster.best_iteration)
        return lightgbm.Booster(model_str=text)

    def _num_rounds(self) -> int:
        return int(self._booster.num_trees())

    def _score(self, codes: np.ndarray) -> np.ndarray:
        scores: np.ndarray = self._booster.predict(codes)
        return scores

    def _shapley_values(self, codes: np.ndarray) -> np.ndarray:
        values: np.ndarray = self._booster.predict(codes, pred_contrib=True)
        return values

    @staticmethod
    def _read(file: Path) -> lightgbm.Booster:
        return lightgbm.Booster(model_file=file)

    def _dataset(self, events: EventSet, reference: lightgbm.Dataset | None) -> lightgbm.Dataset:
        self._layout.require(events.features)
        num_numeric = len(self._layout.numeric_names)
        return lightgbm.Dataset(
            code_matrix(events.features),
            label=events.labels,
            weight=events.weights,
            reference=reference,
            categorical_feature=list(range(num_numeric, len(self._layout.names))),
            params={"verbosity": -1, "feature_pre_filter": False},
        )
