"""A convolution whose weight gradient is one matrix product, for small maps in bfloat16 on a CPU.

Where maps are only a few pixels wide and the processor has matrix units (AMX), oneDNN takes several
times as long for the gradient of the weights as for the convolution itself; `python -m
pipelines.benchmark --cases dense_training` measures what that costs.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input

FEW_PIXELS = 64
"""Pixels of an output map up to which the matrix product was seen to be faster."""


class Convolution(nn.Conv2d):
    """`nn.Conv2d`, trained faster: square, without groups, dilation, or biases.

    Only training in bfloat16 on a CPU differs, and only in the order in which gradients are summed.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Features `(batch, out_channels, height, width)`."""
        kernel, stride, padding = self.kernel_size[0], self.stride[0], self.padding[0]
        assert isinstance(padding, int)
        pixels = 1
        for side in features.shape[2:]:
            pixels *= (side + 2 * padding - kernel) // stride + 1
        learns = torch.is_grad_enabled() and self.weight.requires_grad
        low_precision = features.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not (learns and low_precision and pixels <= FEW_PIXELS):
            return super().forward(features)
        dtype = torch.get_autocast_dtype("cpu")
        result: Tensor = SmallMapConvolution.apply(  # type: ignore[no-untyped-call]
            features.to(dtype), self.weight.to(dtype), stride, padding
        )
        return result


class SmallMapConvolution(torch.autograd.Function):
    """A convolution; its weight gradient is the output's gradient times all patches."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        """Features `(batch, channels_out, height, width)`."""
        ctx.save_for_backward(features, weight)
        ctx.stride, ctx.padding = stride, padding
        return nn.functional.conv2d(features, weight, None, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        """Gradients of features and weight."""
        features, weight = ctx.saved_tensors
        channels_out, channels_in, kernel, _ = weight.shape
        of_features = None
        if ctx.needs_input_grad[0]:
            of_features = conv2d_input(  # type: ignore[no-untyped-call]
                features.shape, weight, gradient, ctx.stride, ctx.padding
            )
        by_pixel = gradient.permute(0, 2, 3, 1).reshape(-1, channels_out)
        of_weight = by_pixel.t() @ _patches(features, kernel, ctx.stride, ctx.padding)
        of_weight = of_weight.view(channels_out, kernel, kernel, channels_in).permute(0, 3, 1, 2)
        return of_features, of_weight, None, None


def _patches(features: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """What each output pixel sees, `(batch * pixels, kernel * kernel * channels)`."""
    padded = nn.functional.pad(features, (padding,) * 4).permute(0, 2, 3, 1)
    patches = padded.unfold(1, kernel, stride).unfold(2, kernel, stride)
    return patches.permute(0, 1, 2, 4, 5, 3).reshape(-1, kernel**2 * features.shape[1])
