"""Gradient-boosted trees with native levels: XGBoost and LightGBM."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import lightgbm
import numpy as np
import xgboost

from data.reporter import Reporter
from returns.event_set import EventSet
from returns.layout import FeatureLayout, code_matrix, feature_chunks
from returns.models.saving import (
    hyperparameters_of,
    read_configuration,
    require_learnable,
    write_configuration,
)

MOST_REPORTS = 100
"""Rounds whose losses are reported at most."""

ROWS_AT_ONCE = 1 << 17
"""Events scored at a time."""


class RoundReports:
    """Passes on the losses of boosting rounds: all at first, ever fewer as the curve flattens."""

    def __init__(self, name: str, most_rounds: int, reporter: Reporter) -> None:
        """Choose the rounds to report.

        Args:
            name: Of the model.
            most_rounds: Rounds of boosting at most.
            reporter: Receives progress and losses.
        """
        self._name = name
        self._most_rounds = most_rounds
        self._reporter = reporter
        chosen = np.geomspace(1, most_rounds, MOST_REPORTS).round().astype(int)
        self._chosen = frozenset(chosen.tolist())

    def __call__(self, rounds_done: int, train_loss: float, validation_loss: float) -> None:
        """Report a round if it is one of the chosen."""
        if rounds_done in self._chosen:
            self._reporter.progress(self._name, rounds_done, self._most_rounds)
            self._reporter.metrics(
                {"train_cross_entropy": train_loss, "validation_cross_entropy": validation_loss},
                step=rounds_done,
            )


@dataclass(eq=False)
class XGBoost:
    """Trees grown depth by depth (Chen and Guestrin, 2016).

    Attributes:
        seed: Of sampled events and columns.
        rounds: Trees at most; the validation cross-entropy chooses how many are kept.
        patience: Rounds without improvement before stopping.
        learning_rate: Shrinkage of each tree.
        max_depth: Splits from root to leaf at most.
        min_child_weight: Sum of second derivatives of a leaf at least.
        event_share: Share of the events that each tree sees.
        column_share: Share of the columns that each tree sees.
        l2_penalty: On leaf values.
    """

    name: ClassVar[str] = "xgboost"

    seed: int = 0
    rounds: int = 2000
    patience: int = 50
    learning_rate: float = 0.08
    max_depth: int = 6
    min_child_weight: float = 50.0
    event_share: float = 0.8
    column_share: float = 0.6
    l2_penalty: float = 2.0

    _layout: FeatureLayout = field(init=False, repr=False)
    _booster: xgboost.Booster = field(init=False, repr=False)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Constructor arguments as JSON values."""
        return hyperparameters_of(self)

    def fit(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        """Learn from `train`; `validation` chooses the number of trees.

        Raises:
            ValueError: The training events are not of both classes, or labels are unknown.
        """
        require_learnable(train, validation)
        self._layout = FeatureLayout.of(train.features)
        train_matrix = self._quantised(train, None)
        validation_matrix = self._quantised(validation, train_matrix)
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
        booster = xgboost.train(
            parameters,
            train_matrix,
            num_boost_round=self.rounds,
            evals=[(train_matrix, "train"), (validation_matrix, "validation")],
            early_stopping_rounds=self.patience,
            verbose_eval=False,
            callbacks=[_XGBoostReports(RoundReports(self.name, self.rounds, reporter))],
        )
        self._booster = booster[: booster.best_iteration + 1]
        reporter.progress(self.name, self.rounds, self.rounds)

    def predict_proba(self, events: EventSet) -> np.ndarray:
        """Probability that each event is returned, float64 `(num_events,)`."""
        self._layout.require(events.features)
        chunks = [
            self._booster.predict(
                xgboost.DMatrix(
                    code_matrix(chunk), feature_types=self._types(), enable_categorical=True
                )
            )
            for chunk in feature_chunks(events.features, ROWS_AT_ONCE)
        ]
        return np.concatenate([np.empty(0), *chunks])

    def save(self, folder: Path) -> None:
        """Write the trees as XGBoost JSON, columns and hyper-parameters as JSON."""
        self._booster.save_model(folder / "xgboost.json")
        write_configuration(folder, self, {"layout": self._layout.to_json()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            ValueError: The folder holds another model.
        """
        hyperparameters, fitted = read_configuration(folder, cls.name)
        model = cls(**hyperparameters)
        model._layout = FeatureLayout.from_json(fitted["layout"])
        model._booster = xgboost.Booster(model_file=folder / "xgboost.json")
        return model

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


class _XGBoostReports(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    def __init__(self, reports: RoundReports) -> None:
        super().__init__()
        self._reports = reports

    def after_iteration(
        self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, list[float]]]
    ) -> bool:
        losses = [evals_log[part]["logloss"][-1] for part in ("train", "validation")]
        self._reports(epoch + 1, *losses)
        return False


@dataclass(eq=False)
class LightGBM:
    """Trees grown leaf by leaf (Ke et al., 2017).

    Attributes:
        seed: Of sampled events and columns.
        rounds: Trees at most; the validation cross-entropy chooses how many are kept.
        patience: Rounds without improvement before stopping.
        learning_rate: Shrinkage of each tree.
        num_leaves: Leaves of a tree at most.
        min_leaf_events: Training events of a leaf at least.
        event_share: Share of the events that each tree sees.
        column_share: Share of the columns that each tree sees.
        l2_penalty: On leaf values.
    """

    name: ClassVar[str] = "lightgbm"

    seed: int = 0
    rounds: int = 2000
    patience: int = 50
    learning_rate: float = 0.08
    num_leaves: int = 31
    min_leaf_events: int = 200
    event_share: float = 0.8
    column_share: float = 0.6
    l2_penalty: float = 2.0

    _layout: FeatureLayout = field(init=False, repr=False)
    _booster: lightgbm.Booster = field(init=False, repr=False)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Constructor arguments as JSON values."""
        return hyperparameters_of(self)

    def fit(self, train: EventSet, validation: EventSet, reporter: Reporter) -> None:
        """Learn from `train`; `validation` chooses the number of trees.

        Raises:
            ValueError: The training events are not of both classes, or labels are unknown.
        """
        require_learnable(train, validation)
        self._layout = FeatureLayout.of(train.features)
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
        reports = RoundReports(self.name, self.rounds, reporter)

        def report(state: lightgbm.callback.CallbackEnv) -> None:
            losses = {part: float(loss) for part, _, loss, _ in state.evaluation_result_list}
            reports(state.iteration + 1, losses["train"], losses["validation"])

        booster = lightgbm.train(
            parameters,
            train_set,
            num_boost_round=self.rounds,
            valid_sets=[train_set, self._dataset(validation, train_set)],
            valid_names=["train", "validation"],
            callbacks=[report, lightgbm.early_stopping(self.patience, verbose=False)],
        )
        text = booster.model_to_string(num_iteration=booster.best_iteration)
        self._booster = lightgbm.Booster(model_str=text)
        reporter.progress(self.name, self.rounds, self.rounds)

    def predict_proba(self, events: EventSet) -> np.ndarray:
        """Probability that each event is returned, float64 `(num_events,)`."""
        self._layout.require(events.features)
        chunks = [
            self._booster.predict(code_matrix(chunk))
            for chunk in feature_chunks(events.features, ROWS_AT_ONCE)
        ]
        return np.concatenate([np.empty(0), *chunks])

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM text, columns and hyper-parameters as JSON."""
        self._booster.save_model(folder / "lightgbm.txt")
        write_configuration(folder, self, {"layout": self._layout.to_json()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            ValueError: The folder holds another model.
        """
        hyperparameters, fitted = read_configuration(folder, cls.name)
        model = cls(**hyperparameters)
        model._layout = FeatureLayout.from_json(fitted["layout"])
        model._booster = lightgbm.Booster(model_file=folder / "lightgbm.txt")
        return model

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
