"""What curvature is estimated of: a model, a likelihood, the weights, and batches of data."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from compression.errors import ExhaustedLoaderError
from compression.likelihoods import Likelihood
from compression.parameters import ParameterSpace


@runtime_checkable
class Bundle(Protocol):
    """Inputs of a model that is called with one object, such as a mini-batch of a graph."""

    def to(self, device: torch.device, /) -> "Bundle":
        """The same on a device."""

    def pieces(self, size: int, /) -> Iterator[tuple["Bundle", slice]]:
        """Parts of at least so many examples, and few more, that need no other part.

        Examples whose outputs depend on each other stay together; a rest that is too small is left
        out. With each part, which examples it holds.
        """


Tensors: TypeAlias = Tensor | tuple[Tensor, ...] | list[Tensor] | Mapping[str, Tensor]
"""One tensor, several in order, or several by name; examples along the first dimension of each."""

Inputs: TypeAlias = Tensors | Bundle
"""What a model is called with."""

Batch: TypeAlias = tuple[Inputs, Tensor]
"""Inputs and targets."""

Loader: TypeAlias = Iterable[Batch]
"""Batches that can be gone through again and again: a `DataLoader` or a list."""

Reporter: TypeAlias = Callable[[str, int, int, float], None]
"""Told of progress: what is done, how many steps of how many, and a figure that should fall."""


@dataclass(frozen=True)
class Problem:
    """What an estimator of curvature is given.

    Attributes:
        model: In evaluation mode.
        likelihood: Of the targets, given the model's outputs.
        space: The weights whose curvature is wanted.
        damping: What is added to the diagonal of the Fisher matrix, above 0.
        seed: Of all random draws.
    """

    model: nn.Module
    likelihood: Likelihood
    space: ParameterSpace
    damping: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.damping > 0:
            raise ValueError(f"damping must be above 0, not {self.damping}")

    def generator(self) -> torch.Generator:
        """A new generator of random numbers on the weights' device, from the seed."""
        return torch.Generator(self.space.device).manual_seed(self.seed)

    def outputs(self, parameters: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        """The model's outputs with other values of the covered parameters; others are constants."""
        arguments, named = _arguments(inputs)
        values = {name: weight.detach() for name, weight in self.model.named_parameters()}
        values.update(parameters)
        with _differentiable_attention():
            outputs: Tensor = torch.func.functional_call(self.model, values, arguments, named)
        return outputs

    def to_device(self, batch: Batch) -> Batch:
        """The batch on the weights' device."""
        return to_device(batch, self.space.device)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """All tensors of a batch on a device."""
    inputs, targets = batch
    moved: Inputs
    if isinstance(inputs, Tensor):
        moved = inputs.to(device, non_blocking=True)
    elif isinstance(inputs, Mapping):
        moved = {name: value.to(device) for name, value in inputs.items()}
    elif isinstance(inputs, Bundle):
        moved = inputs.to(device)
    else:
        moved = tuple(value.to(device) for value in inputs)
    return moved, targets.to(device)


def call(model: nn.Module, inputs: Inputs) -> Tensor:
    """The model's outputs."""
    arguments, named = _arguments(inputs)
    outputs: Tensor = model(*arguments, **named)
    return outputs


@contextmanager
def _differentiable_attention() -> Iterator[None]:
    """Attention in plain operations: the fused ones have no forward-mode derivative."""
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)


def _arguments(inputs: Inputs) -> tuple[tuple[Tensor | Bundle, ...], dict[str, Tensor]]:
    if isinstance(inputs, Tensor | Bundle):
        return (inputs,), {}
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return tuple(inputs), {}


def batches(loader: Loader, number: int | None = None) -> Iterator[Batch]:
    """The first batches of a loader, or all of one pass.

    Raises:
        ExhaustedLoaderError: The loader gives fewer than asked for, or none at all.
    """
    count = 0
    for batch in loader:
        if number is not None and count == number:
            return
        yield batch
        count += 1
    if count < (1 if number is None else number):
        raise ExhaustedLoaderError(
            f"the loader ran dry after {count} of {number or 'any number of'} batches; give a "
            "loader that can be gone through again, such as a DataLoader or a list"
        )


def cycle(loader: Loader) -> Iterator[Batch]:
    """Batches without end, pass after pass.

    Raises:
        ExhaustedLoaderError: A pass gives no batch, as with a generator that is used up.
    """
    while True:
        yield from batches(loader)
