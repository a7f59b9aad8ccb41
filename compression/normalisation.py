"""Statistics of batch normalisation after a network has changed."""

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from compression.problem import Loader, batches, call, to_device


@torch.no_grad()
def reestimate(model: nn.Module, loader: Loader, num_batches: int | None = None) -> None:
    """Measure the running means and variances of batch normalisation again.

    Everything else stays as in evaluation mode, so dropout takes no part. Models without running
    statistics are left alone.

    If that fails, they are as before.

    Args:
        model: Whose statistics are replaced; on the device of its first parameter.
        loader: Of batches; each counts the same.
        num_batches: How many batches; None for one pass.

    Raises:
        ExhaustedLoaderError: The loader gives too few batches.
    """
    normalisations = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    if not normalisations:
        return
    device = next(model.parameters()).device
    was_training = {module: module.training for module in model.modules()}
    momenta = {module: module.momentum for module in normalisations}
    statistics = {module: copy.deepcopy(dict(module.named_buffers())) for module in normalisations}
    model.eval()
    for module in normalisations:
        module.reset_running_stats()
        # Without a momentum, the statistics are the plain mean over all batches.
        module.momentum = None
        module.train()
    try:
        for batch in batches(loader, num_batches):
            call(model, to_device(batch, device)[0])
    except BaseException:
        for module, buffers in statistics.items():
            for name, value in buffers.items():
                module.get_buffer(name).copy_(value)
        raise
    finally:
        for module, momentum in momenta.items():
            module.momentum = momentum
        for other, training in was_training.items():
            other.training = training
