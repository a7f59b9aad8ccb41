"""Products of the neural tangent kernel with random probes, for any network."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import jvp, vjp

Parameters = Mapping[str, Tensor]
"""Trainable tensors by name."""


def draw_probes(number: int, outputs: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal probe vectors for outputs of a given shape.

    Args:
        number: How many; with 1, `alignment` of the products is what the paper's released code
            computes, whose average over draws is taken before the cosine.
        outputs: Any outputs on the probe samples `(num_samples, num_outputs)`; only shape, dtype
            and device are used.
        generator: Of the draws, on the CPU.

    Returns:
        `(number, num_samples, num_outputs)`.
    """
    drawn = torch.randn((number, *outputs.shape), generator=generator, dtype=torch.float64)
    return drawn.to(outputs)


def kernel_products(
    outputs: Callable[[Parameters], Tensor], parameters: Parameters, probes: Tensor
) -> Tensor:
    """`J J^T v` for each probe `v`, J the Jacobian of the outputs by the parameters.

    Costs one backward pass and one forward-mode pass a probe; neither J nor the kernel is formed.

    Args:
        outputs: From parameters to outputs `(num_samples, num_outputs)` on the fixed probe
            samples, e.g. through `torch.func.functional_call`.
        parameters: Where the Jacobian is taken.
        probes: `(num_probes, num_samples, num_outputs)`, see `draw_probes`.

    Returns:
        Shape of `probes`.
    """
    at = {name: tensor.detach() for name, tensor in parameters.items()}
    pull_back = vjp(outputs, at)[1]
    products = []
    for probe in probes:
        (gradient,) = pull_back(probe)
        products.append(jvp(outputs, (at,), (gradient,))[1])
    return torch.stack(products)
