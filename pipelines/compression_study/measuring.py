"""Measures the cells of a study that are missing, and chooses each method's setting."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from compression.errors import DivergedError
from compression.studies.methods import METHODS, Grid, Setting
from compression.studies.pruning import FittedOnce, Pruned, Subject, prune_in_stages
from pipelines.compression_study.cells import Cell, CellKey, CellStore
from pipelines.progress import ProgressReporter


class Study(Protocol):
    """A network with its data, and how good a pruned one is.

    Attributes:
        described: What its cells depend on, as JSON values.
        chosen_by: Name of the held-out figure by which settings are chosen, the higher the better.
    """

    @property
    def described(self) -> Mapping[str, Any]:
        """What its cells depend on, as JSON values."""

    @property
    def chosen_by(self) -> str:
        """Name of the held-out figure by which settings are chosen, the higher the better."""

    def subject(self, seed: int) -> Subject:
        """What is pruned, with data in the order of a seed."""

    def figures(self, pruned: Pruned) -> Mapping[str, float]:
        """Figures of a pruned network on held-out and test data."""

    def for_choice(self) -> "Study":
        """The study whose held-out figures settings are chosen by.

        Itself, unless it has figures that take long and no choice needs.
        """


@dataclass(frozen=True)
class Plan:
    """Which cells a study measures.

    Attributes:
        methods: Names.
        sparsities: Of the results.
        stages: Numbers of stages; 1 is at once.
        seeds: Of the final cells; settings are chosen with the first.
        grid: Settings that are tried at once.
        stage_grid: Settings that are tried in stages, each of which takes as long as all at once.
        choose_at_once: Whether settings of stages, too, are chosen by what they give at once.
    """

    methods: tuple[str, ...]
    sparsities: tuple[float, ...]
    stages: tuple[int, ...]
    seeds: tuple[int, ...]
    grid: Grid
    stage_grid: Grid
    choose_at_once: bool = False


@dataclass(frozen=True)
class Row:
    """A method at its chosen setting.

    Attributes:
        method: Its name.
        stages: In which it pruned.
        sparsity: That it reached.
        setting: Chosen on held-out data.
        cells: One for each seed.
    """

    method: str
    stages: int
    sparsity: float
    setting: Setting
    cells: tuple[Cell, ...]


class Measurement:
    """Runs a plan; what was measured before is not measured again."""

    def __init__(
        self, study: Study, plan: Plan, store: CellStore, reporter: ProgressReporter
    ) -> None:
        """Begin.

        Args:
            study: What is pruned.
            plan: Which cells are wanted.
            store: Where cells are kept.
            reporter: Told of progress.
        """
        self._study, self._plan, self._store, self._reporter = study, plan, store, reporter

    def rows(self) -> Iterator[Row]:
        """Every method's rows, tuned and measured with every seed."""
        plan = self._plan
        parts = [(method, stages) for stages in plan.stages for method in plan.methods]
        for done, (method, stages) in enumerate(parts):
            task = f"{method}, {stages} stage{'s' if stages > 1 else ''}"
            self._reporter.progress("compress", done, len(parts))
            chosen = self._tuned(method, stages, task)
            for setting in dict.fromkeys(chosen.values()):
                sparsities = [s for s in chosen if chosen[s] == setting]
                for seed in plan.seeds:
                    self._measure(self._study, method, setting, stages, sparsities, seed)
            for sparsity, setting in chosen.items():
                keys = [
                    _key(self._study, method, setting, stages, sparsity, seed)
                    for seed in plan.seeds
                ]
                cells = [self._store.find(key) for key in keys]
                found = tuple(cell for cell in cells if cell is not None)
                yield Row(method, stages, sparsity, setting, found)
        self._reporter.progress("compress", len(parts), len(parts))

    def _tuned(self, method: str, stages: int, task: str) -> dict[float, Setting]:
        """The best setting for each sparsity, with the first seed, on held-out data.

        A sparsity that no setting reached without diverging is missing.
        """
        plan, study = self._plan, self._study.for_choice()
        stages = 1 if plan.choose_at_once else stages
        settings = METHODS[method].settings(plan.grid if stages == 1 else plan.stage_grid)
        tried: dict[float, list[Cell]] = {sparsity: [] for sparsity in plan.sparsities}
        for number, setting in enumerate(settings):
            self._reporter.progress(task, number, len(settings))
            cells = self._measure(study, method, setting, stages, plan.sparsities, plan.seeds[0])
            for cell in cells:
                if cell.figures:
                    tried[cell.key.sparsity].append(cell)
        self._reporter.progress(task, len(settings), len(settings))
        return {
            sparsity: max(cells, key=lambda cell: cell.figures[study.chosen_by]).key.setting
            for sparsity, cells in tried.items()
            if cells
        }

    def _measure(
        self,
        study: Study,
        method: str,
        setting: Setting,
        stages: int,
        sparsities: Sequence[float],
        seed: int,
    ) -> list[Cell]:
        """Cells of one setting and seed, measured now or before."""
        keys = [_key(study, method, setting, stages, sparsity, seed) for sparsity in sparsities]
        missing = [key for key in keys if self._store.find(key) is None]
        if missing:
            subject = study.subject(seed)
            for key, pruned in _prune(subject, missing):
                self._store.keep(_cell(key, pruned, study))
        return [cell for cell in map(self._store.find, keys) if cell is not None]


def _key(
    study: Study, method: str, setting: Setting, stages: int, sparsity: float, seed: int
) -> CellKey:
    return CellKey(method, setting, stages, sparsity, seed, study.described)


def _prune(subject: Subject, keys: Sequence[CellKey]) -> Iterator[tuple[CellKey, Pruned | None]]:
    """The network pruned for each key, all alike but for their sparsity; None if it diverged."""
    first = keys[0]
    method = METHODS[first.method]
    fitted: FittedOnce | None = None
    for key in keys:
        try:
            if key.stages > 1 or subject.fine_tune is not None:
                arguments = (key.setting, key.sparsity, key.stages, key.seed)
                pruned = prune_in_stages(subject, method, *arguments)
            else:
                fitted = fitted or FittedOnce(subject, method, key.setting, key.seed)
                pruned = fitted.pruned(key.sparsity)
        except DivergedError:
            yield key, None
        else:
            yield key, pruned


def _cell(key: CellKey, pruned: Pruned | None, study: Study) -> Cell:
    if pruned is None:
        return Cell(key, {}, 0.0, 0.0)
    return Cell(key, study.figures(pruned), pruned.seconds, pruned.curvature_mib)
