"""Pruning of a network by one method at one setting, at once or in stages."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from compression.likelihoods import Likelihood
from compression.problem import Batch, Reporter
from compression.schedules import cubic, geometric
from compression.studies.methods import Method, Setting
from compression.surgeon import Surgeon


@dataclass(frozen=True)
class Pruned:
    """A pruned network, and what it took.

    Attributes:
        network: In evaluation mode.
        sparsity: Share of its prunable weights that is 0.
        seconds: Wall time of estimating curvature and pruning.
        curvature_mib: Size of the estimate, in MiB.
    """

    network: nn.Module
    sparsity: float
    seconds: float
    curvature_mib: float


@dataclass(frozen=True)
class Subject:
    """What is pruned, and on which data.

    Attributes:
        network: Dense, in evaluation mode; it is copied, never changed.
        likelihood: That it was trained on.
        loader: Training batches, all of one size but the last.
        exclude: Patterns of parameters that stay dense.
        normalisation_batches: Batches that statistics of batch normalisation are measured on again
            after each stage but the last; see `Surgeon.prune`.
        fine_tune: Trains a pruned network, in training mode, in place and alike at each call; what
            is 0 stays 0. None: pruning is all.
    """

    network: nn.Module
    likelihood: Likelihood
    loader: Sequence[Batch]
    exclude: tuple[str, ...] = ()
    normalisation_batches: int = 0
    fine_tune: Callable[[nn.Module], None] | None = None

    def surgeon(
        self, method: Method, setting: Setting, seed: int, reporter: Reporter | None = None
    ) -> Surgeon:
        """A surgeon at work on a copy of the network."""
        batch_size = len(self.loader[0][1])
        return Surgeon(
            copy.deepcopy(self.network),
            setting.tempered(self.likelihood),
            self.loader,
            method.curvature(setting, batch_size),
            damping=setting.damping,
            exclude=self.exclude,
            solver=method.solver(setting),
            seed=seed,
            reporter=reporter,
        )

    def copied(self, surgeon: Surgeon) -> Surgeon:
        """A copy of a surgeon at work on this that shares nothing but the data."""
        return copy.deepcopy(surgeon, {id(self.loader): self.loader})


class FittedOnce:
    """Curvature of the dense network, from which it is pruned to one sparsity after another.

    Nothing is fine-tuned.
    """

    def __init__(
        self,
        subject: Subject,
        method: Method,
        setting: Setting,
        seed: int,
        reporter: Reporter | None = None,
    ) -> None:
        """Estimate the curvature.

        Args:
            subject: What is pruned.
            method: How.
            setting: Of the method.
            seed: Of the method's random draws.
            reporter: Told of progress.

        Raises:
            DivergedError: A loss is not finite.
        """
        started = time.perf_counter()
        self._subject = subject
        self._surgeon = subject.surgeon(method, setting, seed, reporter)
        self._surgeon.fit()
        self._seconds = time.perf_counter() - started

    def pruned(self, sparsity: float) -> Pruned:
        """The dense network, pruned in a single step; its time includes the whole estimate's.

        Raises:
            DivergedError: Compensation gave weights that are not finite.
        """
        surgeon = self._subject.copied(self._surgeon)
        started = time.perf_counter()
        surgeon.step(sparsity)
        return _pruned(surgeon, self._seconds + time.perf_counter() - started)


def prune_in_stages(
    subject: Subject,
    method: Method,
    setting: Setting,
    sparsity: float,
    stages: int,
    seed: int,
    reporter: Reporter | None = None,
) -> Pruned:
    """Prune stage by stage, curvature brought up to date between.

    Each stage keeps the same share; where the network is fine-tuned after each, they follow the
    cubic schedule.

    Args:
        subject: What is pruned.
        method: How.
        setting: Of the method.
        sparsity: After the last stage.
        stages: How many.
        seed: Of the method's random draws.
        reporter: Told of progress.

    Raises:
        DivergedError: A loss or compensated weights are not finite.
    """
    started = time.perf_counter()
    surgeon = subject.surgeon(method, setting, seed, reporter)
    surgeon.fit()
    schedule = geometric if subject.fine_tune is None else cubic
    surgeon.prune(schedule(sparsity, stages), subject.fine_tune, subject.normalisation_batches)
    return _pruned(surgeon, time.perf_counter() - started)


def _pruned(surgeon: Surgeon, seconds: float) -> Pruned:
    state = surgeon.curvature.state_dict().values()
    size = sum(tensor.numel() * tensor.element_size() for tensor in state)
    return Pruned(surgeon.finalize(), surgeon.sparsity, seconds, size / 2**20)
