"""A suite: several arms on the same data, each with several seeds, learning rates tuned alike."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gn_study.studies.configuration import (
    Experiment,
    MeasuringOptions,
    NetworkOptions,
    OptimiserOptions,
    Phase,
)
from pipelines.gauss_newton_study.data_options import DataOptions

TUNING_SEED = 1000
"""Seed of the runs that learning rates are chosen by; no reported run has it."""

VALIDATION_ONLY = MeasuringOptions(
    steps_every=0, kernel_samples=0, representation_samples=0, parts=("validation",)
)
"""What a trial of a learning rate is judged by; it does not see the test part."""


@dataclass(frozen=True)
class Arm:
    """One way to train, whose runs differ in their seed alone.

    Attributes:
        name: In tables and figures, unique in its suite.
        phases: Optimisers and epochs; learning rates count only where neither tuned nor taken over.
        rates: Learning rates to choose from on the validation part; empty: none is chosen.
        rates_of: Per phase the arm whose chosen learning rate it takes over; empty: none does.
        rate_factor: By which a taken-over learning rate is multiplied.
        network: What is trained.
        batch_size: Samples of an update; None: full batch.
        augment: Whether images are cropped at random.
        seeds: How many runs, if fewer than the suite's.
        question: Question of the study design that the arm belongs to, see `questions`.
        compared_with: Arm that it changes in one thing.
    """

    name: str
    phases: tuple[Phase, ...]
    network: NetworkOptions
    batch_size: int | None
    rates: tuple[float, ...] = ()
    rates_of: tuple[str, ...] = ()
    rate_factor: float = 1.0
    augment: bool = False
    seeds: int | None = None
    question: str = ""
    compared_with: str = ""

    def __post_init__(self) -> None:
        """Check that it is clear where learning rates come from.

        Raises:
            ValueError: It is not.
        """
        if self.rates and (self.rates_of or len(self.phases) != 1):
            raise ValueError(f"{self.name}: one phase can be tuned, if it takes no rate over")
        if self.rates_of and len(self.rates_of) != len(self.phases):
            raise ValueError(f"{self.name}: name one arm for the rate of each phase")

    def experiment(
        self, chosen: Mapping[str, float], measuring: MeasuringOptions, seed: int
    ) -> Experiment:
        """The experiment with its learning rates filled in.

        Args:
            chosen: Chosen learning rate by arm.
            measuring: What is recorded.
            seed: Of the run.
        """
        sources = self.rates_of or ((self.name,) if self.rates else ())
        phases = self.phases
        if sources:
            phases = tuple(
                _at_rate(phase, chosen[source] * self.rate_factor)
                for phase, source in zip(phases, sources, strict=True)
            )
        return Experiment(self.network, phases, self.batch_size, self.augment, measuring, seed)

    def trial(self, rate: float, epochs: int) -> Experiment:
        """The run by which a learning rate is judged: nothing but its validation loss is measured.

        Args:
            rate: Learning rate on trial.
            epochs: How long it trains.
        """
        phase = replace(_at_rate(self.phases[0], rate), epochs=epochs)
        return Experiment(
            self.network, (phase,), self.batch_size, self.augment, VALIDATION_ONLY, TUNING_SEED
        )


@dataclass(frozen=True)
class Suite:
    """Arms that are compared with each other.

    Attributes:
        name: On the command line, e.g. `mnist-mini-batch`.
        data: What all arms are trained on.
        arms: What is compared.
        seeds: How many runs of each arm.
        tuning_epochs: Length of the runs that learning rates are chosen by.
        measuring: What is recorded.
        reduced: How the suite is smaller than the paper's experiment; empty: it is not.
        plots: Which of its plots the report shows, see `figures.suite_figures`.
    """

    name: str
    data: DataOptions
    arms: tuple[Arm, ...]
    seeds: int
    tuning_epochs: int
    measuring: MeasuringOptions
    reduced: str = ""
    plots: tuple[str, ...] = ("learning_curves",)

    def __post_init__(self) -> None:
        """Check the arms against each other.

        Raises:
            ValueError: A name is given twice, an arm is compared with one that is not there or
                takes its rate from one that is not tuned, or tuned arms try different numbers of
                rates.
        """
        names = [arm.name for arm in self.arms]
        tuned = {arm.name: len(arm.rates) for arm in self.arms if arm.rates}
        if len(set(names)) < len(names):
            raise ValueError(f"{self.name}: an arm's name is given twice")
        for arm in self.arms:
            if arm.compared_with and arm.compared_with not in names:
                raise ValueError(f"{self.name}: {arm.name} is compared with an arm not there")
            if not set(arm.rates_of) <= tuned.keys():
                raise ValueError(f"{self.name}: {arm.name} takes its rate from an arm not tuned")
        if len(set(tuned.values())) > 1:
            raise ValueError(f"{self.name}: arms are tuned with unequal budgets")

    def seeds_of(self, arm: Arm) -> range:
        """Seeds of an arm's reported runs."""
        return range(self.seeds if arm.seeds is None else min(arm.seeds, self.seeds))

    @property
    def is_full_batch(self) -> bool:
        """Whether its arms see the whole training part in every update."""
        return all(arm.batch_size is None for arm in self.arms)


def _at_rate(phase: Phase, rate: float) -> Phase:
    optimiser: OptimiserOptions = replace(phase.optimiser, learning_rate=rate)
    return replace(phase, optimiser=optimiser)
