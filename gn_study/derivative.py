"""Directional derivatives of a reversible network's outputs."""

from collections.abc import Mapping

import torch
from torch import Tensor

from gn_study.reversible_network import ReversibleNetwork


@torch.no_grad()
def output_derivative(
    model: ReversibleNetwork, inputs: Tensor, direction: Mapping[str, Tensor]
) -> Tensor:
    """`J d`: how outputs change, to first order, along a direction of the trained parameters.

    Args:
        model: The network.
        inputs: `(num_samples, width)`.
        direction: For each trained parameter a tensor of its shape.

    Returns:
        `(num_samples, num_outputs)`.
    """
    changed, other = inputs.chunk(2, dim=-1)
    changed_tangent, other_tangent = torch.zeros_like(changed), torch.zeros_like(other)
    for name, half in model.half_layers().items():
        features = half.features(other)
        changed = changed + half.combine(features)
        own = half.combine_with(
            features, direction[f"{name}.weight"], direction.get(f"{name}.bias")
        )
        passed_on = half.push_forward(features, other_tangent, half.weight)
        changed_tangent = changed_tangent + own + passed_on
        changed, other = other, changed
        changed_tangent, other_tangent = other_tangent, changed_tangent
    return model.read_out(torch.cat([changed_tangent, other_tangent], dim=-1))


def relative_residual(
    model: ReversibleNetwork, inputs: Tensor, direction: Mapping[str, Tensor], error: Tensor
) -> float:
    """`||J d - error|| / ||error||`: nought for a right inverse; nought where there is no error.

    Args:
        model: The network.
        inputs: `(num_samples, width)`.
        direction: For each trained parameter a tensor of its shape.
        error: `(num_samples, num_outputs)`.
    """
    missed = float((output_derivative(model, inputs, direction) - error).norm())
    return missed / float(error.norm()) if missed else 0.0
