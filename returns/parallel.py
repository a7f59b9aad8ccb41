"""Data-parallel training: several processes share each batch and sum their gradients."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch import distributed as processes


def rank() -> int:
    """Number of this process, from 0; 0 where there is one alone."""
    return processes.get_rank() if processes.is_initialized() else 0


def world_size() -> int:
    """Number of processes that train together."""
    return processes.get_world_size() if processes.is_initialized() else 1


def device() -> torch.device:
    """Where this process computes: its GPU if there is one, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", rank() % torch.cuda.device_count())


def sum_gradients(parameters: Iterable[Tensor], loss: Tensor, weight: Tensor) -> Tensor:
    """Make the gradient of a summed loss the gradient of the mean loss over all processes.

    Args:
        parameters: Whose gradients hold this process's summed loss.
        loss: That summed loss, scalar.
        weight: Summed weight of this process's events, scalar.

    Returns:
        The mean loss over all processes, scalar.
    """
    given = list(parameters)
    for parameter in given:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in given if parameter.grad is not None]
    totals = torch.stack([loss.detach(), weight.to(loss.dtype)])
    if world_size() > 1:
        packed = torch.cat([totals, *(gradient.flatten() for gradient in gradients)])
        processes.all_reduce(packed)
        totals, start = packed[:2], 2
        for gradient in gradients:
            gradient.copy_(packed[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
    for gradient in gradients:
        gradient.div_(totals[1])
    return totals[0] / totals[1]
