"""XGBoost: trees grown depth by depth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xgboost

from returns.event_set import EventSet
from returns.layout import code_matrix
from returns.models.boosting import SHARED_RANGES, BoostedTrees, RoundReports
from returns.models.search_space import FloatRange, IntegerRange, SearchSpace


@dataclass(eq=False)
class XGBoost(BoostedTrees):
    """Trees grown depth by depth (Chen and Guestrin, 2016).

    Attributes:
        max_depth: Splits from root to leaf at most.
        min_child_weight: Sum of second derivatives of a leaf at least.
    """

    name: ClassVar[str] = "xgboost"
    booster_file: ClassVar[str] = "xgboost.json"
    search_space: ClassVar[SearchSpace] = {
        **SHARED_RANGES,
        "max_depth": IntegerRange(3, 10),
        "min_child_weight": FloatRange(1.0, 500.0, log=True),
    }

    max_depth: int = 5
    min_child_weight: float = 75.0

    def _grow(
        self, train: EventSet, validation: EventSet | None, rounds: int, reports: RoundReports
    ) -> xgboost.Booster:
        train_matrix = self._quantised(train, None)
        parameters = {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "tree_method": "hist",
            "seed": self.seed,
            "verbosity": 0,
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "min_child_weight": self.min_child_weight,
            "subsample": self.event_share,
            "colsample_bytree": self.column_share,
            "reg_lambda": self.l2_penalty,
        }
        if validation is None:
            return xgboost.train(parameters, train_matrix, rounds, callbacks=[_Callback(reports)])
        validation_matrix = self._quantised(validation, train_matrix)
        booster = xgboost.train(
            parameters,
            train_matrix,
            num_boost_round=rounds,
            evals=[(train_matrix, "train"), (validation_matrix, "validation")],
            early_stopping_rounds=self.patience,
            verbose_eval=False,
            callbacks=[_Callback(reports)],
        )
        return booster[: booster.best_iteration + 1]

    def _num_rounds(self) -> int:
        return int(self._booster.num_boosted_rounds())

    def _score(self, codes: np.ndarray) -> np.ndarray:
        scores: np.ndarray = self._booster.predict(self._matrix(codes))
        return scores

    def _shapley_values(self, codes: np.ndarray) -> np.ndarray:
        values: np.ndarray = self._booster.predict(self._matrix(codes), pred_contribs=True)
        return values.astype(np.float64)

    @staticmethod
    def _read(file: Path) -> xgboost.Booster:
        return xgboost.Booster(model_file=file)

    def _matrix(self, codes: np.ndarray) -> xgboost.DMatrix:
        return xgboost.DMatrix(codes, feature_types=self._types(), enable_categorical=True)

    def _types(self) -> list[str]:
        layout = self._layout
        return ["q"] * len(layout.numeric_names) + ["c"] * len(layout.categorical_names)

    def _quantised(
        self, events: EventSet, reference: xgboost.QuantileDMatrix | None
    ) -> xgboost.QuantileDMatrix:
        self._layout.require(events.features)
        return xgboost.QuantileDMatrix(
            code_matrix(events.features),
            label=events.labels,
            weight=events.weights,
            feature_types=self._types(),
            enable_categorical=True,
            ref=reference,
        )


class _Callback(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    def __init__(self, reports: RoundReports) -> None:
        super().__init__()
        self._reports = reports

    def after_iteration(
        self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, list[float]]]
    ) -> bool:
        losses = {part: values["logloss"][-1] for part, values in evals_log.items()}
        self._reports(epoch + 1, losses)
        return False
