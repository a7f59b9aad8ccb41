"""Reversible multilayer perceptron."""

from math import sqrt

import torch

from gn_study.activations import ActivationName
from gn_study.coupling import CouplingBlock, HalfLayer, InitialScale
from gn_study.reversible_network import ReversibleNetwork


class RevMLP(ReversibleNetwork):
    """Coupling blocks of dense half-layers, then a fixed orthonormal readout.

    With the default scale of initial weights the network begins close to the identity.
    """

    def __init__(
        self,
        width: int,
        *,
        num_blocks: int = 2,
        hidden: int | None = 8000,
        outputs: int | None = None,
        activation: ActivationName = "relu",
        first_activation: ActivationName | None = None,
        bias: bool = True,
        init_std: InitialScale = 1e-3,
        seed: int = 0,
        rebuild: bool = True,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        """Draw all weights from a seed, the same on every device.

        Args:
            width: Size of the inputs; even.
            num_blocks: Number of coupling blocks.
            hidden: Size of the frozen inner projections; None leaves them out (the paper's network
                without inverted bottleneck, for which no batch is guaranteed to be fitted).
            outputs: Size of the outputs; None for the state after the last block.
            activation: Of all half-layers.
            first_activation: Of the first block's half-layers alone; the released code has
                `identity` there. None for the same as everywhere.
            bias: Whether half-layers have biases.
            init_std: Standard deviation of initial trained weights, or `xavier`.
            seed: Of all draws.
            rebuild: Rebuild activations by inversion in the backward pass.
            dtype: Of all weights; None for torch's default.
            device: Of all weights; None for torch's default.

        Raises:
            ValueError: A size is out of range, or the width is odd.
        """
        if width < 2 or width % 2:
            raise ValueError(
                f"width is {width}, but a state has two halves of the same size: use an even "
                "width, for instance by adding a column of zeros to the inputs"
            )
        if hidden is not None and hidden < 1:
            raise ValueError(f"hidden is {hidden}; use 1 or more, or None for no inner projection")
        generator = torch.Generator().manual_seed(seed)
        half_width = width // 2

        def half_layer(name: ActivationName) -> HalfLayer:
            projection = None
            if hidden is not None:
                drawn = torch.randn(hidden, half_width, generator=generator)
                projection = drawn / sqrt(hidden)
            return HalfLayer(half_width, projection, name, bias, init_std, generator)

        blocks = []
        for number in range(num_blocks):
            name = first_activation if number == 0 and first_activation else activation
            blocks.append(CouplingBlock(half_layer(name), half_layer(name)))
        super().__init__(width, blocks, outputs, generator, rebuild)
        self.to(device=device, dtype=dtype or torch.get_default_dtype())
