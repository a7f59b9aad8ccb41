"""Integrated gradients (Sundararajan et al., 2017): an exact account of a smooth function.

Along the straight path from a reference input, where nothing is known, to the input, the gradient
is integrated: each input gets its part of the difference between the two outputs, and the parts add
up to it. The integral is a Gauss-Legendre sum.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

STEPS = 16
"""Points of the path; the sum of the parts is then off by far less than a reader could see."""

LogOdds = Callable[[Sequence[Tensor]], Tensor]
"""Log-odds `(num_events,)` of inputs; those of an event depend on its own rows alone."""


def integrated_gradients(
    function: LogOdds, inputs: Sequence[Tensor], steps: int = STEPS
) -> list[Tensor]:
    """The part of each element of the inputs in `function(inputs) - function(0)`.

    Args:
        function: Differentiable; gives each event's log-odds.
        inputs: What it reads, measured from the reference, which is 0.
        steps: Points of the path.

    Returns:
        The parts, float64, each of the shape of its input.
    """
    points, weights = np.polynomial.legendre.leggauss(steps)
    root = (points + 1) / 2
    # With t = s^2 points crowd near the reference, where a first neighbour changes most.
    places, lengths = root**2, root * weights
    parts = [torch.zeros(each.shape, dtype=torch.float64) for each in inputs]
    for place, length in zip(places, lengths, strict=True):
        at = [(each * float(place)).requires_grad_() for each in inputs]
        gradients = torch.autograd.grad(function(at).sum(), at)
        for part, gradient, each in zip(parts, gradients, inputs, strict=True):
            part += float(length) * (gradient * each).double()
    return parts
