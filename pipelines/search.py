"""Optuna's search for a model's hyper-parameters, kept in a database so that it can be resumed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from data.validation import Fault, InputError
from returns.models.search_space import Choice, FloatRange, IntegerRange, SearchSpace

SECONDS = "seconds"


@dataclass(frozen=True)
class Evaluation:
    """What one fit achieved.

    Attributes:
        loss: Validation cross-entropy in nats; infinite if the fit diverged.
        seconds: Wall time of the fit and of scoring the validation split.
    """

    loss: float
    seconds: float


@dataclass(frozen=True)
class Trial:
    """A configuration and what it achieved.

    Attributes:
        position: 0 for the model's defaults, then in the order of the search.
        hyperparameters: Value of each searched hyper-parameter.
        evaluation: Of the fit with the search's own seed.
    """

    position: int
    hyperparameters: dict[str, Any]
    evaluation: Evaluation


class Search:
    """Trials of one model: first its defaults, then what the TPE sampler proposes.

    A search that was cut short proposes, when it is resumed, exactly what it would have proposed
    without the interruption. Only one process may work on a search at a time.
    """

    def __init__(
        self,
        storage: RDBStorage,
        name: str,
        space: SearchSpace,
        defaults: Mapping[str, Any],
        seed: int,
    ) -> None:
        """Open a search or begin it; trials that a dead process left unfinished are given up.

        Args:
            storage: Of all searches.
            name: Of this one: all that its losses depend on.
            space: Range of each searched hyper-parameter; empty: the defaults are the only trial.
            defaults: The model's value of each of them.
            seed: Of the proposals.
        """
        self._study = optuna.create_study(
            storage=storage, study_name=name, direction="minimize", load_if_exists=True
        )
        self._distributions = {key: _distribution(values) for key, values in space.items()}
        self._defaults, self._seed = dict(defaults), seed
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)

    def trials(self) -> list[Trial]:
        """Finished trials, the defaults first."""
        finished = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [
            Trial(position, dict(trial.params), _evaluation(trial))
            for position, trial in enumerate(finished)
        ]

    def next_trial(self, evaluate: Callable[[Mapping[str, Any]], Evaluation]) -> None:
        """Propose a configuration, evaluate it and keep the outcome.

        Args:
            evaluate: Fits the model with the given hyper-parameters. If it raises, the trial is
                given up, and its configuration is proposed again next time.
        """
        position = len(self.trials())
        if position == 0 and not self._study.get_trials(states=(TrialState.WAITING,)):
            self._study.enqueue_trial(self._defaults)
        # A sampler's generator would begin anew with each process, and repeat its proposals.
        seed = int(np.random.SeedSequence((self._seed, position)).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(seed=seed)
        trial = self._study.ask(self._distributions)
        try:
            evaluation = evaluate(trial.params)
        except BaseException:
            self._study.tell(trial, state=TrialState.FAIL)
            raise
        trial.set_user_attr(SECONDS, evaluation.seconds)
        self._study.tell(trial, evaluation.loss)

    def repeated(
        self, trial: Trial, seed: int, evaluate: Callable[[Mapping[str, Any]], Evaluation]
    ) -> Evaluation:
        """A trial's configuration evaluated with another seed: now, or before if it was already.

        Args:
            trial: A finished trial.
            seed: Of the model.
            evaluate: Fits the model with the given hyper-parameters and that seed.
        """
        key = f"trial {trial.position} seed {seed}"
        kept = self._study.user_attrs.get(key)
        if kept is not None:
            return Evaluation(*kept)
        evaluation = evaluate(trial.hyperparameters)
        self._study.set_user_attr(key, [evaluation.loss, evaluation.seconds])
        return evaluation


@contextmanager
def open_storage(database: Path) -> Iterator[RDBStorage]:
    """The SQLite database of all searches, made if there is none.

    Raises:
        InputError: The file is no database of this version of Optuna.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = URL.create("sqlite", database=str(database)).render_as_string()
    try:
        storage = RDBStorage(url)
    except (SQLAlchemyError, RuntimeError) as error:
        message = f"the file is no database of tuning ({str(error).splitlines()[0]})"
        raise InputError([Fault(str(database), message, "Move it away to start afresh")]) from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _distribution(values: FloatRange | IntegerRange | Choice) -> BaseDistribution:
    if isinstance(values, FloatRange):
        return FloatDistribution(values.low, values.high, log=values.log)
    if isinstance(values, IntegerRange):
        return IntDistribution(values.low, values.high, log=values.log)
    return CategoricalDistribution(values.values)


def _evaluation(trial: FrozenTrial) -> Evaluation:
    assert trial.value is not None
    return Evaluation(trial.value, trial.user_attrs[SECONDS])
