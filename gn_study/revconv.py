"""Reversible convolutional network."""

from math import sqrt

import torch
from torch import Tensor
from torch.nn import functional

from gn_study.activations import ActivationName
from gn_study.coupling import CouplingBlock, HalfLayer, InitialScale
from gn_study.reversible_network import ReversibleNetwork


class ConvolutionalHalfLayer(HalfLayer):
    """`W act(V * x) + b` at every pixel, with a frozen random convolution `V`.

    Attributes:
        projection: `V`, `(hidden, num_channels, kernel_size, kernel_size)`, a buffer.
        size: Height and width of the images.
    """

    projection: Tensor

    def __init__(
        self,
        projection: Tensor,
        size: tuple[int, int],
        activation: ActivationName,
        bias: bool,
        init_std: InitialScale,
        generator: torch.Generator,
    ) -> None:
        """Draw the weights; biases begin at nought.

        Args:
            projection: `V`, with an odd kernel size.
            size: Height and width of the images.
            activation: `act`.
            bias: Whether there is `b`.
            init_std: Of `W`.
            generator: What draws it.
        """
        super().__init__(projection.shape[1], projection, activation, bias, init_std, generator)
        self.size = size
        self.num_positions = size[0] * size[1]

    def project(self, inputs: Tensor) -> Tensor:
        """`V * x`, `(num_rows, hidden)`, of `x`, `(num_samples, half_width)`."""
        images = inputs.reshape(len(inputs), -1, *self.size)
        convolved = functional.conv2d(images, self.projection, padding="same")
        return convolved.movedim(1, -1).flatten(0, 2)

    def project_back(self, rows: Tensor) -> Tensor:
        """Adjoint of `project`: `(num_samples, half_width)` of `(num_rows, hidden)`."""
        maps = rows.reshape(-1, *self.size, rows.shape[1]).movedim(-1, 1)
        padding = self.projection.shape[-1] // 2
        return functional.conv_transpose2d(maps, self.projection, padding=padding).flatten(1)

    def to_rows(self, half: Tensor) -> Tensor:
        """Half a state, `(num_samples, half_width)`, as `(num_rows, num_channels)`."""
        return half.reshape(len(half), -1, self.num_positions).transpose(1, 2).flatten(0, 1)

    def from_rows(self, rows: Tensor) -> Tensor:
        """The half that `to_rows` made rows, `(num_rows, num_channels)`, of."""
        return rows.reshape(-1, self.num_positions, rows.shape[1]).transpose(1, 2).flatten(1)


class RevConvNet(ReversibleNetwork):
    """Coupling blocks of convolutional half-layers, then a fixed orthonormal readout.

    Halves of the state are halves of the channels. Weights are shared by all pixels, so features
    have a row for each pixel of each sample, and a batch is fitted exactly only if `hidden` is at
    least as large as their number; else the Gauss-Newton direction is a least-squares fit.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        num_blocks: int = 2,
        hidden: int = 256,
        kernel_size: int = 3,
        outputs: int | None = None,
        activation: ActivationName = "relu",
        bias: bool = True,
        init_std: InitialScale = 1e-3,
        seed: int = 0,
        rebuild: bool = True,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        """Draw all weights from a seed, the same on every device.

        Args:
            channels: Of the images; even.
            size: Height and width of the images. Inputs are flat, channel by channel:
                `(num_samples, channels * height * width)`.
            num_blocks: Number of coupling blocks.
            hidden: Channels of the frozen inner convolutions.
            kernel_size: Of the frozen inner convolutions; odd.
            outputs: Size of the outputs; None for the state after the last block.
            activation: Of all half-layers.
            bias: Whether half-layers have biases.
            init_std: Standard deviation of initial trained weights, or `xavier`.
            seed: Of all draws.
            rebuild: Rebuild activations by inversion in the backward pass.
            dtype: Of all weights; None for torch's default.
            device: Of all weights; None for torch's default.

        Raises:
            ValueError: A size is out of range, or the number of channels is odd.
        """
        if channels < 2 or channels % 2:
            raise ValueError(
                f"channels is {channels}, but a state has two halves of the same size: use an even "
                "number, for instance by torch.nn.functional.pixel_unshuffle of the images"
            )
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; use an odd one")
        if hidden < 1 or min(size) < 1:
            raise ValueError(f"hidden is {hidden}, size {size}; use 1 or more")
        generator = torch.Generator().manual_seed(seed)
        shape = (hidden, channels // 2, kernel_size, kernel_size)

        def half_layer() -> HalfLayer:
            projection = torch.randn(shape, generator=generator) / sqrt(hidden)
            return ConvolutionalHalfLayer(projection, size, activation, bias, init_std, generator)

        blocks = [CouplingBlock(half_layer(), half_layer()) for _ in range(num_blocks)]
        super().__init__(channels * size[0] * size[1], blocks, outputs, generator, rebuild)
        self.to(device=device, dtype=dtype or torch.get_default_dtype())
