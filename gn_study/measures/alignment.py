"""Similarity of two kernels, and of what they do to the same probe vectors."""

import torch
from torch import Tensor


def alignment(first: Tensor, second: Tensor) -> float:
    """Cosine between two arrays of equal shape, in float64.

    Of two kernel matrices on the same probe samples this is the kernel alignment
    `<K0, Kt>_F / (||K0||_F ||Kt||_F)`, the similarity of Fort et al. (2020). Of the products
    `K0 v` and `Kt v` with the same standard normal probes `v` it is the alignment's stochastic
    estimate, because `E <K0 v, Kt v> = <K0, Kt>_F`.

    Args:
        first: Kernel, or products of one, any shape.
        second: The other kernel, or its products with the same probes.

    Raises:
        ValueError: The shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(
            f"arrays of shapes {tuple(first.shape)} and {tuple(second.shape)} do not align"
        )
    one, other = first.detach().double().flatten(), second.detach().double().flatten()
    return float(torch.dot(one, other) / (one.norm() * other.norm()))


def velocity(earlier: Tensor, later: Tensor) -> float:
    """`1 - alignment` of a kernel at two moments: how much it turned between them.

    Between consecutive epochs this is the rate of change of the paper's figure 4a, for which the
    paper gives no formula.

    Args:
        earlier: Kernel, any shape.
        later: The kernel afterwards.
    """
    return 1 - alignment(earlier, later)
