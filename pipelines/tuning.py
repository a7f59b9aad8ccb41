"""Tuning of one model: the same budget for each, every fit a run in MLflow."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import pandas as pd
from optuna.storages import RDBStorage

from data.dataset import Dataset, Manifest
from pipelines import tracking
from pipelines.progress import PartReporter, ProgressReporter
from pipelines.resources import measured
from pipelines.search import Evaluation, Search, Trial
from returns.event_set import EventSet
from returns.metrics import cross_entropy
from returns.models.registry import create, search_space
from returns.preparation import Preparation
from returns.protocol import Protocol


@dataclass(frozen=True)
class Budget:
    """Fits that every model gets alike.

    Attributes:
        trials: Configurations tried with the run's seed, the model's defaults among them.
        repeat_best: How many of the best are evaluated again, and the defaults beside them.
        seeds: Other seeds that each of those is evaluated with.
    """

    trials: int
    repeat_best: int
    seeds: int


@dataclass(frozen=True)
class TuningData:
    """Training and validation events, prepared once for all trials of all models.

    The test split is not prepared.

    Attributes:
        train: Events to learn from.
        validation: Events whose cross-entropy is to be lowered.
        name: Source, digest of the dataset and protocol.
        settings: What else the losses depend on beside the model, as JSON values.
    """

    train: EventSet
    validation: EventSet
    name: str
    settings: Mapping[str, Any]

    @classmethod
    def prepare(
        cls,
        dataset: Dataset,
        manifest: Manifest,
        protocol: Protocol,
        label_delay_days: int,
        reporter: ProgressReporter,
    ) -> Self:
        """Prepare the two splits.

        Args:
            dataset: All events and node rows.
            manifest: Of the dataset.
            protocol: Strict or paper.
            label_delay_days: Days after the order until its label is known (dated data).
            reporter: Told of progress.
        """
        reporter.progress("prepare", 0, 3)
        preparation = Preparation.fit(dataset, protocol, label_delay_days)
        reporter.progress("prepare", 1, 3)
        train = preparation.event_set(dataset, "train")
        reporter.progress("prepare", 2, 3)
        validation = preparation.event_set(dataset, "validation")
        reporter.progress("prepare", 3, 3)
        columns = (*train.features.numeric_names, *train.features.categorical_names)
        return cls(
            train,
            validation,
            f"{manifest.source} {manifest.digest[:12]} {protocol.value}",
            {"label_delay_days": label_delay_days, "columns": columns},
        )


@dataclass(frozen=True)
class Tuned:
    """What tuning a model found.

    Attributes:
        trials: Every configuration tried, the defaults first.
        repeats: Evaluations with further seeds of the defaults and of the best trials, by the
            trial's position; empty where nothing is evaluated again.
    """

    trials: list[Trial]
    repeats: dict[int, list[Evaluation]]

    @property
    def means(self) -> dict[int, float]:
        """Loss to choose by, by the trial's position: its mean over further seeds, if any."""
        if not self.repeats:
            return {trial.position: trial.evaluation.loss for trial in self.trials}
        return {
            position: sum(evaluation.loss for evaluation in evaluations) / len(evaluations)
            for position, evaluations in self.repeats.items()
        }

    @property
    def seconds(self) -> float:
        """Wall time of all fits."""
        repeats = itertools.chain.from_iterable(self.repeats.values())
        spent = itertools.chain((trial.evaluation for trial in self.trials), repeats)
        return sum(evaluation.seconds for evaluation in spent)

    @property
    def chosen(self) -> Trial:
        """The trial of the lowest mean loss; of equals the first."""
        means = self.means
        return self.trials[min(means, key=lambda position: (means[position], position))]

    @property
    def loss(self) -> float:
        """Mean loss of the chosen hyper-parameters."""
        return self.means[self.chosen.position]

    @property
    def default_loss(self) -> float:
        """Mean loss of the model's defaults."""
        return self.means[0]

    def table(self) -> pd.DataFrame:
        """One row per trial: hyper-parameters, losses, seconds."""
        means = self.means
        rows = [
            {
                **trial.hyperparameters,
                "cross-entropy": trial.evaluation.loss,
                "mean over seeds": means.get(trial.position, math.nan),
                "seconds": trial.evaluation.seconds,
            }
            for trial in self.trials
        ]
        return pd.DataFrame(rows).rename_axis("trial")


class Tuner:
    """Tunes one model; each fit that is not yet in the database becomes a nested MLflow run."""

    def __init__(
        self,
        name: str,
        data: TuningData,
        storage: RDBStorage,
        seed: int,
        tags: Mapping[str, str],
        reporter: ProgressReporter,
    ) -> None:
        """Open the model's search.

        Args:
            name: Of the model.
            data: Events to learn from and to score.
            storage: Of all searches.
            seed: Of the model and of the search.
            tags: Of each MLflow run.
            reporter: Shows the progress.
        """
        self._name, self._data, self._seed = name, data, seed
        self._tags, self._reporter = tags, reporter
        space, defaults = search_space(name), create(name, seed).hyperparameters
        ranges = {key: repr(values) for key, values in space.items()}
        digest = _digest([ranges, defaults, data.settings])
        searched = {key: defaults[key] for key in space}
        self._search = Search(storage, f"{name} {data.name} {digest}", space, searched, seed)
        self.is_searched = bool(space)

    def run(self, budget: Budget) -> Tuned:
        """Spend the budget, or what is left of it."""
        trials = self._trials(budget.trials if self.is_searched else 1)
        if not budget.repeat_best:
            return Tuned(trials, {})
        by_loss = sorted(trials, key=lambda trial: trial.evaluation.loss)
        positions = {0, *(trial.position for trial in by_loss[: budget.repeat_best])}
        best = [trials[position] for position in sorted(positions)]
        return Tuned(trials, self._repeats(best, budget.seeds))

    def _trials(self, number: int) -> list[Trial]:
        """The first trials of the search, those in the database already among them."""
        task = f"tune {self._name}"
        while (done := len(self._search.trials())) < number:
            reporter = PartReporter(self._reporter, task, done, number)
            run_name = f"{self._name} trial {done}"
            self._search.next_trial(partial(self._evaluate, run_name, self._seed, reporter))
        self._reporter.progress(task, number, number)
        return self._search.trials()[:number]

    def _repeats(self, trials: list[Trial], num_seeds: int) -> dict[int, list[Evaluation]]:
        """Evaluations of each trial's configuration with further seeds, by its position."""
        task, parts = f"repeat {self._name}", len(trials) * num_seeds
        repeats: dict[int, list[Evaluation]] = {trial.position: [] for trial in trials}
        for part in range(parts):
            trial, seed = trials[part // num_seeds], self._seed + 1 + part % num_seeds
            reporter = PartReporter(self._reporter, task, part, parts)
            run_name = f"{self._name} trial {trial.position}, seed {seed}"
            evaluate = partial(self._evaluate, run_name, seed, reporter)
            repeats[trial.position].append(self._search.repeated(trial, seed, evaluate))
        self._reporter.progress(task, parts, parts)
        return repeats

    def _evaluate(
        self, run_name: str, seed: int, reporter: PartReporter, hyperparameters: Mapping[str, Any]
    ) -> Evaluation:
        """Fit once and record it.

        The loss weights the events as the fit does: it is what early stopping looks at too.
        """
        model = create(self._name, seed, **hyperparameters)
        parameters = {f"model.{key}": value for key, value in model.hyperparameters.items()}
        with tracking.run(run_name, parameters, self._tags, nested=True) as run:
            validation = self._data.validation
            with measured() as usage:
                model.fit(self._data.train, validation, reporter)
                probability = model.predict_proba(validation)
            loss = cross_entropy(validation.labels, probability, validation.weights)
            tracking.log_history(run.info.run_id, reporter.history)
            tracking.log_metrics({"validation_cross_entropy": loss, "fit_seconds": usage.seconds})
        self._reporter.say(f"{run_name}: {loss:.5f} in {usage.seconds:.1f} s")
        return Evaluation(loss if math.isfinite(loss) else math.inf, usage.seconds)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
