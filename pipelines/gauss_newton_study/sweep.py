"""Run what is not done of a suite: trials of learning rates first, then every arm and seed."""

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from gn_study.studies.configuration import Experiment
from gn_study.studies.study_data import StudyData
from gn_study.studies.training import train
from pipelines import tracking
from pipelines.gauss_newton_study.reading import DataPlaces
from pipelines.gauss_newton_study.run_store import FinishedRun, RunStore
from pipelines.gauss_newton_study.run_table import trial_table
from pipelines.gauss_newton_study.suite_result import SuiteResult, at_end
from pipelines.gauss_newton_study.suites import Arm, Suite
from pipelines.progress import PartReporter, ProgressReporter

History = Sequence[tuple[int, Mapping[str, float]]]


class SuiteSweep:
    """One suite's runs, those that are done and those to do."""

    def __init__(
        self,
        suite: Suite,
        places: DataPlaces,
        store: RunStore,
        device: torch.device,
        reporter: ProgressReporter,
    ) -> None:
        """Look the suite's data up, without reading them.

        Args:
            suite: What to run.
            places: Where data are.
            store: Of finished runs.
            device: Where networks are trained.
            reporter: Hears of the progress.
        """
        self._suite, self._places, self._store = suite, places, store
        self._device, self._reporter = device, reporter
        self._fingerprint = places.fingerprint(suite.data)
        self._done = 0

    @cached_property
    def _data(self) -> StudyData:
        """Read when the first run needs it: a suite that is done reads nothing."""
        return self._places.read(self._suite.data)

    @cached_property
    def total(self) -> int:
        """Runs of the whole suite."""
        trials = sum(len(arm.rates) for arm in self._suite.arms)
        return trials + sum(len(self._suite.seeds_of(arm)) for arm in self._suite.arms)

    def run(self) -> SuiteResult:
        """Finish the suite; runs that are done are not run again."""
        if self._is_complete():
            return self.result()
        tags = {"suite": self._suite.name, "data": self._suite.data.name, "kind": "sweep"}
        with tracking.run(self._suite.name, _flat(asdict(self._suite.data)), tags):
            for arm in self._suite.arms:
                for rate in arm.rates:
                    experiment = arm.trial(rate, self._suite.tuning_epochs)
                    self._finish(experiment, f"{arm.name} rate {rate:g}", is_reported=False)
            chosen = self._chosen(self._trials())
            for seed, arm in self._in_order():
                experiment = arm.experiment(chosen, self._suite.measuring, seed)
                self._finish(experiment, f"{arm.name} seed {seed}", is_reported=True)
            result = self.result()
            tracking.log_table(trial_table([result]), "rates")
        return result

    def result(self) -> SuiteResult:
        """What the finished runs showed; those that are not done are left out."""
        trials = self._trials()
        chosen = self._chosen(trials)
        runs: dict[str, list[FinishedRun]] = {}
        for arm in self._suite.arms:
            if not set(arm.rates_of or ((arm.name,) if arm.rates else ())) <= chosen.keys():
                continue
            keys = [
                self._key(arm.experiment(chosen, self._suite.measuring, seed))
                for seed in self._suite.seeds_of(arm)
            ]
            runs[arm.name] = [self._store.read(key) for key in keys if self._store.has(key)]
        return SuiteResult(self._suite, trials, chosen, runs)

    def _is_complete(self) -> bool:
        result = self.result()
        return all(
            len(result.runs.get(arm.name, ())) == len(self._suite.seeds_of(arm))
            for arm in self._suite.arms
        )

    def _in_order(self) -> Iterator[tuple[int, Arm]]:
        """A seed of all arms before the next: what is interrupted can be compared."""
        for seed in range(self._suite.seeds):
            for arm in self._suite.arms:
                if seed in self._suite.seeds_of(arm):
                    yield seed, arm

    def _trials(self) -> dict[str, dict[float, float]]:
        """Final validation loss of every finished trial, by arm and learning rate."""
        found: dict[str, dict[float, float]] = {}
        for arm in self._suite.arms:
            keys = {rate: self._key(arm.trial(rate, self._suite.tuning_epochs))
                    for rate in arm.rates}  # fmt: skip
            found[arm.name] = {
                rate: at_end("validation_loss")(self._store.read(key))
                for rate, key in keys.items()
                if self._store.has(key)
            }
        return {name: losses for name, losses in found.items() if losses}

    def _chosen(self, trials: Mapping[str, Mapping[float, float]]) -> dict[str, float]:
        """Of each arm whose trials are all done the rate with the lowest validation loss."""
        return {
            arm.name: min(arm.rates, key=lambda rate: trials[arm.name][rate])
            for arm in self._suite.arms
            if arm.rates and len(trials.get(arm.name, ())) == len(arm.rates)
        }

    def _key(self, experiment: Experiment) -> str:
        return self._store.key(self._suite.data, self._fingerprint, experiment)

    def _finish(self, experiment: Experiment, name: str, is_reported: bool) -> None:
        """Run an experiment unless it is done; trials of learning rates are no runs in MLflow."""
        key = self._key(experiment)
        if not self._store.has(key):
            self._execute(experiment, key, name, is_reported)
        self._done += 1
        self._reporter.progress(self._suite.name, self._done, self.total)

    def _execute(self, experiment: Experiment, key: str, name: str, is_reported: bool) -> None:
        part = PartReporter(self._reporter, self._suite.name, self._done, self.total)

        def report(epoch: int, row: Mapping[str, float]) -> None:
            part.progress(name, epoch, experiment.epochs)
            part.metrics(row, epoch)

        started = time.perf_counter()
        record = train(experiment, self._data, report, self._device)
        seconds = time.perf_counter() - started
        path = self._store.write(
            key, self._suite.data, self._data.name, experiment, record, seconds,
            described_machine(self._device),
        )  # fmt: skip
        if is_reported:
            self._log(experiment, key, name, path, part.history)
        self._reporter.say(f"{self._suite.name}: {name}: {seconds:.1f} s")

    def _log(
        self, experiment: Experiment, key: str, name: str, path: Path, history: History
    ) -> None:
        """Record a finished run in MLflow."""
        parameters = _flat(asdict(self._suite.data)) | _flat(asdict(experiment))
        tags = {"suite": self._suite.name, "data": self._suite.data.name, "kind": "run", "key": key}
        with tracking.run(name, parameters, tags, nested=True) as child:
            finite = [
                (epoch, {name: value for name, value in row.items() if isfinite(value)})
                for epoch, row in history
            ]
            tracking.log_history(child.info.run_id, finite)
            tracking.log_metrics(finite[-1][1])
            tracking.log_file(path, "run")


def described_machine(device: torch.device) -> str:
    """Device, threads and version that a run's figures depend on beside its options."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    threads = torch.get_num_threads()
    counted = f"{threads} thread" + ("s" if threads > 1 else "")
    return f"{device.type} ({name}, {counted}), torch {torch.__version__}"


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options as one level of dotted names."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, (list, tuple)) and any(isinstance(item, dict) for item in value):
            value = {str(position): item for position, item in enumerate(value)}
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
