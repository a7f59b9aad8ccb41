"""Gradients of coupling blocks without kept activations, which inversion rebuilds."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gn_study.coupling import CouplingBlock, HalfLayer


def rebuilt_features(inputs: Tensor, blocks: Sequence[CouplingBlock]) -> Tensor:
    """State after all blocks; its gradient needs that state alone, whatever the depth.

    Args:
        inputs: `(num_samples, width)`.
        blocks: From the first to the last.

    Returns:
        `(num_samples, width)`.
    """
    half_layers = [half for block in blocks for half in (block.first, block.second)]
    trained = [tensor for half in half_layers for tensor in (half.weight, half.bias)]
    state: Tensor = _Rebuilt.apply(half_layers, inputs, *trained)  # type: ignore[no-untyped-call]
    return state


class _Rebuilt(torch.autograd.Function):
    """The blocks as one function of the inputs and of all that is trained.

    `trained` alternates weights and biases in the order of the half-layers; a bias may be None.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(half_layers: Sequence[HalfLayer], inputs: Tensor, *trained: Any) -> Tensor:
        changed, other = inputs.chunk(2, dim=-1)
        for half, weight, bias in zip(half_layers, trained[::2], trained[1::2], strict=True):
            changed = changed + half.combine_with(half.features(other), weight, bias)
            changed, other = other, changed
        return torch.cat([changed, other], dim=-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        half_layers, _, *trained = inputs
        ctx.half_layers = half_layers
        ctx.save_for_backward(output, *trained)

    @staticmethod
    def backward(ctx: Any, *output_gradients: Tensor) -> tuple[Tensor | None, ...]:
        state, *trained = ctx.saved_tensors
        changed, other = state.chunk(2, dim=-1)
        changed_gradient, other_gradient = output_gradients[0].chunk(2, dim=-1)
        gradients: list[Tensor | None] = []
        layers = list(zip(ctx.half_layers, trained[::2], trained[1::2], strict=True))
        for number, (half, weight, bias) in reversed(list(enumerate(layers))):
            changed, other = other, changed
            changed_gradient, other_gradient = other_gradient, changed_gradient
            features = half.features(other)
            rows = half.to_rows(changed_gradient)
            gradients += [None if bias is None else rows.sum(0), rows.T @ features]
            if number:
                changed = changed - half.combine_with(features, weight, bias)
            if number or ctx.needs_input_grad[1]:
                pulled = half.pull_back(features, changed_gradient, weight)
                other_gradient = other_gradient + pulled
        inputs_gradient = torch.cat([changed_gradient, other_gradient], dim=-1)
        return (None, inputs_gradient, *reversed(gradients))
