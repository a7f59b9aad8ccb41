"""Data-parallel training: several processes share each batch and sum their gradients."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch import distributed as processes

Value = TypeVar("Value")

CPU = torch.device("cpu")


class ProcessLostError(RuntimeError):
    """Another process of the training has ended, so that this one cannot go on."""


def rank() -> int:
    """Number of this process, from 0; 0 where there is one alone."""
    return processes.get_rank() if processes.is_initialized() else 0


def world_size() -> int:
    """Number of processes that train together."""
    return processes.get_world_size() if processes.is_initialized() else 1


def device() -> torch.device:
    """Where this process computes: its GPU if there is one, else the CPU."""
    if not torch.cuda.is_available():
        return CPU
    return torch.device("cuda", rank() % torch.cuda.device_count())


def shared(value: Value) -> Value:
    """What the first process gives, in every process.

    Args:
        value: Read in the first process alone; it is pickled.

    Raises:
        ProcessLostError: Another process has ended.
    """
    if world_size() == 1:
        return value
    box = [value]
    with _together():
        processes.broadcast_object_list(box, src=0, device=CPU)
    return box[0]


def gathered(value: Value) -> list[Value]:
    """What each process gives, in every process, in the order of their numbers.

    Args:
        value: It is pickled.

    Raises:
        ProcessLostError: Another process has ended.
    """
    if world_size() == 1:
        return [value]
    values = [value] * world_size()
    with _together():
        processes.all_gather_object(values, value)
    return values


def summed(values: np.ndarray) -> np.ndarray:
    """Sum over all processes, alike to the last bit in each.

    Args:
        values: Of this process; all have the same shape and dtype.

    Raises:
        ProcessLostError: Another process has ended.
    """
    if world_size() == 1:
        return values
    total = torch.from_numpy(values.copy())
    with _together():
        processes.all_reduce(total)
    return total.numpy()


def sum_gradients(parameters: Iterable[Tensor], loss: Tensor, weight: Tensor) -> Tensor:
    """Make the gradient of a summed loss the gradient of the mean loss over all processes.

    Args:
        parameters: Whose gradients hold this process's summed loss.
        loss: That summed loss, scalar.
        weight: Summed weight of this process's events, scalar.

    Returns:
        The mean loss over all processes, scalar.

    Raises:
        ProcessLostError: Another process has ended.
    """
    given = list(parameters)
    for parameter in given:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in given if parameter.grad is not None]
    totals = torch.stack([loss.detach(), weight.to(loss.dtype)])
    if world_size() > 1:
        packed = torch.cat([totals, *(gradient.flatten() for gradient in gradients)])
        with _together():
            processes.all_reduce(packed)
        totals, start = packed[:2], 2
        for gradient in gradients:
            gradient.copy_(packed[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
    for gradient in gradients:
        gradient.div_(totals[1])
    return totals[0] / totals[1]


@contextmanager
def _together() -> Iterator[None]:
    """Say what it means that processes cannot reach each other."""
    try:
        yield
    except RuntimeError as error:
        message = f"process {rank()} of {world_size()} has lost another ({error})"
        raise ProcessLostError(message) from error
