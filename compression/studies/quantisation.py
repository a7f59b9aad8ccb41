"""Quantisation of a network, pruned or not: to the nearest, or with the others making up for it."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from compression.curvature import Curvature
from compression.learning import LearnedInverse
from compression.problem import Reporter
from compression.rivals.layerwise import LayerwiseHessian
from compression.studies.pruning import Subject
from compression.surgeon import Surgeon


@dataclass(frozen=True)
class Quantiser:
    """One way to prune and to round.

    Attributes:
        sentence: What it does, for tables.
        curvature: By which weights are removed and rounded.
        compensates: Whether others make up for rounding.
    """

    sentence: str
    curvature: Callable[[], Curvature]
    compensates: bool


QUANTISERS: Mapping[str, Quantiser] = MappingProxyType(
    {
        "nearest": Quantiser(
            "pruned by the learned inverse, each weight rounded to the nearest",
            lambda: LearnedInverse("kronecker"),
            compensates=False,
        ),
        "gptq": Quantiser(
            "each layer's outputs by least squares, column by column",
            LayerwiseHessian,
            compensates=True,
        ),
        "fishleg": Quantiser(
            "learned Kronecker inverse, antidiagonal by antidiagonal",
            lambda: LearnedInverse("kronecker"),
            compensates=True,
        ),
    }
)
"""The ways by name."""


@dataclass(frozen=True)
class Quantised:
    """A quantised network.

    Attributes:
        network: In evaluation mode.
        sparsity: Share of its weights that was asked to go before.
        bits: Of its weights.
    """

    network: nn.Module
    sparsity: float
    bits: int


def quantised_networks(
    subject: Subject,
    quantiser: Quantiser,
    damping: float,
    sparsities: Sequence[float],
    bits: Sequence[int],
    seed: int,
    reporter: Reporter | None = None,
) -> Iterator[Quantised]:
    """The network at every sparsity and number of bits; curvature is estimated once.

    Args:
        subject: What is pruned and quantised, one scale an output.
        quantiser: How.
        damping: Of the curvature.
        sparsities: To prune to at once before; curvature is then brought up to date.
        bits: Of the weights.
        seed: Of random draws.
        reporter: Told of progress.

    Raises:
        DivergedError: A loss or compensated weights are not finite.
    """
    fitted = Surgeon(
        copy.deepcopy(subject.network),
        subject.likelihood,
        subject.loader,
        quantiser.curvature(),
        damping=damping,
        exclude=subject.exclude,
        seed=seed,
        reporter=reporter,
    )
    fitted.fit()
    for sparsity in sparsities:
        pruned = subject.copied(fitted)
        if sparsity > 0:
            pruned.step(sparsity)
            pruned.refine()
        for number in bits:
            surgeon = subject.copied(pruned)
            surgeon.quantise(number, compensate=quantiser.compensates)
            yield Quantised(surgeon.finalize(), sparsity, number)
