"""One cycle of retraining: from order lines to a champion that is the new one or stays.

Each stage writes down its result and may be repeated, so that a cycle that was killed anywhere is
finished by the next run. Only the last stage moves the champion.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from data.dataset import Dataset, ingest, open_dataset
from data.partitions import Partition
from data.sources.partitioned import Partitioned, Window
from pipelines import registry
from pipelines.cost_file import read_costs
from pipelines.experiment import Experiment, Outcome
from pipelines.home import Home
from pipelines.progress import ProgressReporter
from pipelines.registry import CHAMPION, UnservableError, Version
from pipelines.retraining.champion import Champion
from pipelines.retraining.checks import check_dataset, check_files
from pipelines.retraining.deciding import Findings, find
from pipelines.retraining.incoming import cycle_key, take_in
from pipelines.retraining.journal import Journal
from pipelines.retraining.kept_fits import History, keep_fit, read_fit
from pipelines.retraining.record import (
    CYCLE_TAG,
    CycleRecord,
    record_cycle,
    register_challenger,
)
from pipelines.retraining.settings import Settings
from pipelines.retraining.state import LastCycle
from returns.protocol import Protocol

NewReporter = Callable[[], ProgressReporter]
"""Makes a reporter for one more piece of work on the same display."""


@dataclass(frozen=True)
class CycleResult:
    """What a cycle came to.

    Attributes:
        decision: `promoted`, `kept`, or `nothing new`.
        reasons: Why.
        version: Number of the version that was registered; None where none was.
        findings: Drift and comparison; None where nothing was new.
        restored: What was wrong with the champion and done; None if nothing.
    """

    decision: str
    reasons: tuple[str, ...]
    version: str | None
    findings: Findings | None
    restored: str | None


class Cycle:
    """One run of `retrain` over the order lines there are."""

    def __init__(
        self,
        settings: Settings,
        home: Home,
        today: date,
        last: LastCycle | None,
        new_reporter: NewReporter,
        dry_run: bool = False,
    ) -> None:
        """Prepare a cycle; no order line is read yet.

        Args:
            settings: What is read, trained and allowed.
            home: Where things lie.
            today: The day it is.
            last: The last finished cycle; None if this is the first.
            new_reporter: Makes reporters.
            dry_run: Whether to stop before anything is logged, registered or promoted.

        Raises:
            InputError: The mapping is wrong.
        """
        self._settings, self._home, self._last = settings, home, last
        self._today, self._dry_run = today, dry_run
        self._new_reporter = new_reporter
        self._tables = settings.tables()
        self._reader_options = settings.reader_options(self._tables)

    def run(self) -> CycleResult:
        """Do whatever is not done yet.

        Raises:
            InputError: The order lines cannot be learned from, or models not be compared on them.
            UnservableError: What was logged is not what was trained.
        """
        champion, restored = self._champion()
        reporter = self._new_reporter()
        partitions = take_in(self._settings, self._tables, self._home.partitions, reporter)
        learned = () if self._last is None else self._last.files
        accepted = {self._home.partitions / name for name in learned}
        check_files(partitions, accepted, self._today, self._settings.most_rejected)
        files = [partition.sha256 for partition in partitions]
        key = cycle_key(self._settings, self._tables, files)
        if champion is not None and self._last is not None and self._last.key == key:
            return CycleResult("nothing new", ("no new order lines",), None, None, restored)
        journal = self._journal(key)
        plan = journal.stage("plan", self._plan)
        cycle = f"{key}-{plan['attempt']}"
        if champion is not None and champion.version.tags.get(CYCLE_TAG) == cycle:
            return self._finish_promoted(journal, cycle, champion.version, partitions, restored)

        window = Window.from_json(plan["window"])
        source = Partitioned(self._settings.source, self._tables, partitions, window)
        folder = ingest(source, self._home.datasets, reporter)
        dataset, manifest = open_dataset(folder)
        new_since = None if self._last is None else date.fromisoformat(self._last.last_day)
        check_dataset(dataset, manifest, new_since, self._settings.volume_factor)
        if champion is not None:
            champion.check_comparable(self._settings.source, self._reader_options, window.test_from)
        experiment = self._experiment(dataset, reporter)
        outcomes, histories = self._fit(journal, experiment)
        findings = self._findings(journal, experiment, dataset, window, champion, outcomes)
        if self._dry_run:
            return CycleResult(findings.decision, findings.reasons, None, findings, restored)
        record = CycleRecord(
            cycle=cycle,
            today=plan["today"],
            findings=findings,
            outcomes=outcomes,
            histories=histories,
            experiment=experiment,
            manifest=manifest,
            folder=folder,
            parameters={**self._settings.identity(), "dataset": folder.name, **plan["window"]},
            restored=restored,
        )
        version = register_challenger(record, record_cycle(record))
        if findings.promote:
            registry.promote(version)
        else:
            registry.challenge(version)
        result = CycleResult(
            findings.decision, findings.reasons, version.number, findings, restored
        )
        self._finish(journal, cycle, result, partitions)
        return result

    def _champion(self) -> tuple[Champion | None, str | None]:
        """The version that serves, put right first if it cannot."""
        if not self._dry_run:
            version, restored = registry.restore_champion()
            return None if version is None else Champion.load(version), restored
        version = registry.version_of(CHAMPION)
        try:
            return None if version is None else Champion.load(version), None
        except UnservableError as error:
            return None, f"{error}; left as it is"

    def _journal(self, key: str) -> Journal:
        """The journal of a cycle, without what a finished one may have left behind."""
        journal = Journal(self._home.retraining / key)
        plan = journal.result("plan")
        if plan and self._last and self._last.cycle == f"{key}-{plan['attempt']}":
            journal.close()
        return journal

    def _plan(self) -> dict[str, object]:
        """The day that a resumed cycle goes on taking for today, and so the same parts."""
        settings = self._settings
        days = (settings.label_delay_days, settings.validation_days, settings.test_days)
        window = Window.before(self._today, *days)
        attempt = uuid.uuid4().hex[:8]
        return {"attempt": attempt, "today": self._today.isoformat(), "window": window.as_json()}

    def _experiment(self, dataset: Dataset, reporter: ProgressReporter) -> Experiment:
        settings = self._settings
        return Experiment(
            dataset,
            Protocol.STRICT,
            settings.source,
            self._reader_options,
            true_probability=None,
            label_delay_days=settings.label_delay_days,
            refit=True,
            seed=settings.seed,
            reporter=reporter,
            costs=None if settings.costs is None else read_costs(settings.costs),
        )

    def _fit(
        self, journal: Journal, experiment: Experiment
    ) -> tuple[dict[str, Outcome], dict[str, History]]:
        """Every model: fitted now, or before."""
        hyperparameters = self._settings.model_hyperparameters()
        outcomes: dict[str, Outcome] = {}
        histories: dict[str, History] = {}
        for name in self._settings.models:
            folder = journal.folder / "fits" / name
            if not folder.exists():
                reporter = self._new_reporter()
                given = hyperparameters.get(name, {})
                fitted = experiment.fit(name, self._settings.epochs, given, reporter)
                keep_fit(folder, fitted, reporter.history)
            fitted, histories[name] = read_fit(folder)
            outcomes[name] = experiment.outcome(fitted)
        return outcomes, histories

    def _findings(
        self,
        journal: Journal,
        experiment: Experiment,
        dataset: Dataset,
        window: Window,
        champion: Champion | None,
        outcomes: dict[str, Outcome],
    ) -> Findings:
        """Drift and decision, found now or before; anew where another champion serves since."""
        kept = journal.result("findings")
        serves = None if champion is None else champion.version.number
        if kept is not None and kept["champion"] != serves:
            journal.forget("findings")
        best = min(outcomes.values(), key=lambda outcome: outcome.validation_loss)
        seed = self._settings.seed
        found = journal.stage(
            "findings",
            lambda: find(experiment, dataset, window.test_from, best, champion, seed).to_json(),
        )
        return Findings.from_json(found)

    def _finish_promoted(
        self,
        journal: Journal,
        cycle: str,
        version: Version,
        partitions: list[Partition],
        restored: str | None,
    ) -> CycleResult:
        """The cycle had moved the champion when it ended, and only that was not written down."""
        kept = journal.result("findings")
        findings = None if kept is None else Findings.from_json(kept)
        reasons = ("cut short after the promotion",) if findings is None else findings.reasons
        result = CycleResult("promoted", reasons, version.number, findings, restored)
        if not self._dry_run:
            self._finish(journal, cycle, result, partitions)
        return result

    def _finish(
        self, journal: Journal, cycle: str, result: CycleResult, partitions: list[Partition]
    ) -> None:
        """Write down that the cycle is over, and make room."""
        LastCycle(
            key=journal.folder.name,
            cycle=cycle,
            today=self._today.isoformat(),
            last_day=max(partition.last_day for partition in partitions).isoformat(),
            finished_at=datetime.now(UTC).isoformat(),
            version=result.version,
            findings=None if result.findings is None else result.findings.to_json(),
            files=[
                partition.kept.relative_to(self._home.partitions).as_posix()
                for partition in partitions
            ],
        ).write(self._home)
        journal.close()
