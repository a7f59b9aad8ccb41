"""A step of learning the inverse Fisher matrix against a training step of the same network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional

from compression.learning import LearnedInverse
from compression.likelihoods import Categorical
from compression.parameters import collect_parameters
from compression.problem import Batch, Problem
from compression.studies.networks import LEAST_WIDTH, MLPNet, ResNet18
from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.charts import bars
from pipelines.benchmarks.measurement import PEAK, Measurement
from pipelines.benchmarks.measuring import peak_gib, resident_gib, times_in_turns

TRAINING, AUXILIARY = "training step", "auxiliary step"
CONTENDERS = (TRAINING, AUXILIARY)

TIME = "time"

HELD = "held GiB"
"""Quantity: what the estimate keeps between steps, Adam's moments among it."""

NUM_CLASSES = 10


@dataclass(frozen=True)
class Task:
    """A network that is trained and pruned.

    Attributes:
        make: The network, its width multiplied by a scale where it has one.
        shape: Of one input.
        batch: Inputs a step, at scale 1.
        family: Of the inverse that is learned.
    """

    make: Callable[[float], nn.Module]
    shape: tuple[int, ...]
    batch: int
    family: str

    def network(self, settings: Settings) -> nn.Module:
        """The network; all contenders have the same weights."""
        torch.manual_seed(settings.seed)
        return self.make(settings.scale)

    def drawn_batch(self, settings: Settings) -> Batch:
        """Synthetic inputs, white noise, with labels in turns."""
        generator = torch.Generator().manual_seed(settings.seed)
        number = max(2, round(self.batch * settings.scale))
        inputs = torch.randn(number, *self.shape, generator=generator)
        return inputs, torch.arange(number) % NUM_CLASSES


TASKS: Mapping[str, Task] = {
    "ResNet-18, three factors": Task(
        lambda scale: ResNet18(NUM_CLASSES, max(LEAST_WIDTH, round(64 * scale))),
        (3, 32, 32),
        128,
        "three_factor",
    ),
    "MLPNet, Kronecker": Task(lambda scale: MLPNet(), (1, 28, 28), 500, "kronecker"),
}


class Pruning:
    """One auxiliary step of FishLeg, and one of SGD with momentum, on one batch of noise.

    Both leave out the data's loading. Memory is what the process holds at most in two steps, above
    what it held with the batch, so weights count; held is what the learned inverse keeps.
    """

    name: ClassVar[str] = "pruning"
    title: ClassVar[str] = "one step of learning curvature, and one of training (synthetic images)"
    is_kept: ClassVar[bool] = False

    def parts(self, settings: Settings) -> Sequence[str]:
        """Times of both, and the memory of each, for each network."""
        return [f"{what}; {task}" for task in TASKS for what in (TIME, *CONTENDERS)]

    def measure(self, part: str, settings: Settings) -> Sequence[Measurement]:
        """Measure both contenders' times, or one's memory."""
        what, task = part.split("; ")
        batch = TASKS[task].drawn_batch(settings)
        if what == TIME:
            steps = {name: make_step(name, TASKS[task], settings, batch) for name in CONTENDERS}
            return times_in_turns(task, steps, settings.repeats)
        before = resident_gib()
        step = make_step(what, TASKS[task], settings, batch)

        def two_steps() -> None:
            step()
            step()

        found = [Measurement(task, what, PEAK, (peak_gib(two_steps) - before,))]
        if isinstance(step, AuxiliaryStep):
            found.append(Measurement(task, what, HELD, (step.held_gib(),)))
        return found

    def conclude(self, measurements: Sequence[Measurement]) -> Sequence[Measurement]:
        """Nothing more."""
        return []

    def figures(self, measurements: Sequence[Measurement]) -> Mapping[str, Figure]:
        """Bars of both contenders."""
        return {self.name: bars(measurements, self.title)}


class TrainingStep:
    """Forward, backward and update by SGD with momentum at each call.

    Attributes:
        network: What is trained.
    """

    def __init__(self, task: Task, settings: Settings, batch: Batch) -> None:
        """Make network and optimiser."""
        self.network = task.network(settings).train()
        self._optimizer = torch.optim.SGD(self.network.parameters(), lr=1e-3, momentum=0.9)
        self._inputs, self._labels = batch

    def __call__(self) -> None:
        """Train by one step."""
        self._optimizer.zero_grad()
        loss = functional.cross_entropy(self.network(self._inputs), self._labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()


class AuxiliaryStep:
    """An exact Fisher product, the gradient of the factors and a step of Adam at each call.

    Attributes:
        curvature: What is learned.
    """

    def __init__(self, task: Task, settings: Settings, batch: Batch) -> None:
        """Make network and inverse."""
        network = task.network(settings).eval()
        self.curvature = LearnedInverse(task.family, refine_steps=1, warmup_batches=0)
        self.curvature.attach(Problem(network, Categorical(), collect_parameters(network)))
        self._batch = batch

    def __call__(self) -> None:
        """Learn by one step."""
        self.curvature.refine([self._batch])

    def held_gib(self) -> float:
        """Size of all that is kept from step to step, in GiB."""
        tensors = self.curvature.state_dict().values()
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**30


def make_step(
    contender: str, task: Task, settings: Settings, batch: Batch
) -> TrainingStep | AuxiliaryStep:
    """The step of a contender.

    Args:
        contender: One of `CONTENDERS`.
        task: The network.
        settings: Scale and seed.
        batch: Inputs and labels.
    """
    make = TrainingStep if contender == TRAINING else AuxiliaryStep
    return make(task, settings, batch)
