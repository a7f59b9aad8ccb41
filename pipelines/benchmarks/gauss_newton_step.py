"""A step of exact Gauss-Newton against a step of SGD on the same reversible network."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from gn_study.direction import gn_direction
from gn_study.losses import CrossEntropy
from gn_study.optimizers import ExactGN
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.revmlp import RevMLP
from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.charts import bars
from pipelines.benchmarks.measurement import PEAK, Measurement
from pipelines.benchmarks.measuring import peak_gib, resident_gib, times_in_turns

SIDE, NUM_CLASSES, NUM_BLOCKS = 28, 10, 2
BATCH, HIDDEN = 1024, 8000
"""At scale 1: with the width of 784, the paper's network for MNIST."""

SGD, SGD_KEPT = "SGD", "SGD, activations kept"
GAUSS_NEWTON, SAME_BATCH = "ExactGN", "ExactGN, same batch again"
BY_SVD = "ExactGN by SVD"
CONTENDERS = (SGD, SGD_KEPT, GAUSS_NEWTON, SAME_BATCH, BY_SVD)
DECAYS = {"all singular values kept": 0.0, "two fifths kept, as of MNIST": 2.0}
"""Tasks: with which power of the frequency the amplitudes of the synthetic images fall."""

TIME = "time"


class GaussNewtonStep:
    """Forward, direction and update at the paper's size for MNIST, on two batches in turns.

    Inputs are synthetic images. White noise has features so well conditioned that nothing is
    truncated, and Cholesky serves; of images with a falling spectrum the paper's truncation at 1 %
    keeps about two fifths of 1024 singular values, as it does of MNIST's features at the start.
    `SGD` rebuilds activations by inversion. Before anything is measured, both routes must lead in
    the same direction. Memory is what the process holds at most in two steps, above what it held
    with the batches, so weights count.
    """

    name: ClassVar[str] = "gauss_newton_step"
    title: ClassVar[str] = "one step in a reversible network (synthetic images)"
    is_kept: ClassVar[bool] = False

    def parts(self, settings: Settings) -> Sequence[str]:
        """Times of all, and the memory of each, for each task."""
        return [f"{what}; {task}" for task in DECAYS for what in (TIME, *CONTENDERS)]

    def measure(self, part: str, settings: Settings) -> Sequence[Measurement]:
        """Measure all contenders' times, or one's memory."""
        what, task = part.split("; ")
        batches = synthetic_batches(settings, DECAYS[task])
        if what == TIME:
            require_same_direction(settings, batches[0])
            steps = {name: Step(name, settings, batches) for name in CONTENDERS}
            return times_in_turns(task, steps, settings.repeats)
        before = resident_gib()
        step = Step(what, settings, batches)

        def two_steps() -> None:
            step()
            step()

        return [Measurement(task, what, PEAK, (peak_gib(two_steps) - before,))]

    def conclude(self, measurements: Sequence[Measurement]) -> Sequence[Measurement]:
        """Nothing more."""
        return []

    def figures(self, measurements: Sequence[Measurement]) -> Mapping[str, Figure]:
        """Bars of all contenders."""
        return {self.name: bars(measurements, self.title)}


class Step:
    """One step of a contender at each call, on the next batch.

    Attributes:
        network: What is trained.
        optimizer: What trains it.
    """

    def __init__(self, contender: str, settings: Settings, batches: Sequence[Tensor]) -> None:
        """Make network and optimiser; all contenders have the same weights.

        Args:
            contender: One of `CONTENDERS`.
            settings: Sizes and seed.
            batches: Inputs, each `(num_samples, width)`.
        """
        self.network = make_network(settings, rebuild=contender != SGD_KEPT)
        self.optimizer: torch.optim.Optimizer
        if contender in (SGD, SGD_KEPT):
            self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)
        else:
            route = PseudoInverse(route="svd" if contender == BY_SVD else "gram")
            self.optimizer = ExactGN(self.network, lr=0.2, pseudo_inverse=route)
        self._batches = cycle(batches[:1] if contender == SAME_BATCH else batches)
        self._targets = torch.arange(len(batches[0])) % NUM_CLASSES

    def __call__(self) -> None:
        """Forward, gradient or direction, update."""
        inputs = next(self._batches)

        def closure() -> float:
            self.optimizer.zero_grad()
            loss = functional.cross_entropy(self.network(inputs), self._targets)
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())

        self.optimizer.step(closure)


def make_network(settings: Settings, rebuild: bool = True) -> RevMLP:
    """The paper's network for MNIST, its hidden size multiplied by the scale.

    Args:
        settings: Scale and seed.
        rebuild: Whether gradients rebuild activations.
    """
    return RevMLP(
        SIDE**2,
        num_blocks=NUM_BLOCKS,
        hidden=max(1, round(HIDDEN * settings.scale)),
        outputs=NUM_CLASSES,
        seed=settings.seed,
        rebuild=rebuild,
    )


def synthetic_batches(settings: Settings, decay: float) -> tuple[Tensor, Tensor]:
    """Two batches of random images.

    Args:
        settings: Scale, by which the batch is multiplied, and seed.
        decay: Power of the frequency with which amplitudes fall; 0 for white noise.

    Returns:
        Of mean nought and variance one, each `(num_samples, width)`.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    num_samples = max(2, round(BATCH * settings.scale))
    drawn = torch.randn(2, num_samples, SIDE, SIDE, generator=generator)
    frequency = torch.fft.fftfreq(SIDE)
    radius = (frequency[:, None] ** 2 + frequency**2).sqrt().clamp(min=1 / SIDE)
    images = torch.fft.ifft2(torch.fft.fft2(drawn) / radius**decay).real
    images = ((images - images.mean()) / images.std()).flatten(2)
    return images[0], images[1]


def require_same_direction(settings: Settings, inputs: Tensor) -> None:
    """See that the Gram matrix and the SVD lead in the same direction.

    A singular value next to the limit may be kept by one and dropped by the other.

    Args:
        settings: Scale and seed.
        inputs: `(num_samples, width)`.

    Raises:
        RuntimeError: They do not.
    """
    network = make_network(settings)
    targets = torch.arange(len(inputs)) % NUM_CLASSES
    error = CrossEntropy().error(network(inputs).detach(), targets)
    by_gram, by_svd = (
        torch.cat([value.flatten() for value in direction.values()])
        for direction, _ in (
            gn_direction(network, inputs, error, pseudo_inverse=PseudoInverse(route=route))
            for route in ("gram", "svd")
        )
    )
    cosine = float(functional.cosine_similarity(by_gram, by_svd, dim=0))
    if not cosine > 0.99:
        raise RuntimeError(f"the routes lead in different directions, of cosine {cosine:.4f}")
