"""Reversible multilayer perceptron of coupling blocks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gn_study.activations import ActivationName
from gn_study.coupling import CouplingBlock, HalfLayer, InitialScale
from gn_study.rebuilding import rebuilt_features


@dataclass(frozen=True)
class Evaluation:
    """What a network computed of one batch.

    Attributes:
        inputs: `(num_samples, width)`.
        features: State after the last block, `(num_samples, width)`.
        outputs: `(num_samples, num_outputs)`; a leaf, whose `grad` is the gradient of whatever loss
            was computed of it.
    """

    inputs: Tensor
    features: Tensor
    outputs: Tensor


class RevMLP(nn.Module):
    """Additive coupling blocks, then a fixed orthonormal readout (Sec. 4.2).

    Only the outer weights and biases of the half-layers are trained. With the default scale of
    initial weights the network begins close to the identity.

    Attributes:
        width: Size of inputs and states.
        num_outputs: Size of outputs.
        blocks: The coupling blocks, in order.
        readout: Orthonormal columns, `(width, num_outputs)`, a buffer; None where the outputs are
            the state after the last block.
        rebuild: Whether gradients rebuild activations by inversion instead of keeping them.
    """

    readout: Tensor | None

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
        super().__init__()
        _check_sizes(width, num_blocks, hidden, outputs)
        generator = torch.Generator().manual_seed(seed)
        self.width = width
        self.num_outputs = width if outputs is None else outputs
        self.rebuild = rebuild
        self._evaluations: list[Evaluation] | None = None
        self.blocks = nn.ModuleList()
        for number in range(num_blocks):
            name = first_activation if number == 0 and first_activation else activation
            first, second = (
                HalfLayer(width // 2, hidden, name, bias, init_std, generator) for _ in range(2)
            )
            self.blocks.append(CouplingBlock(first, second))
        if outputs is None:
            self.register_buffer("readout", None)
        else:
            # In float64 whatever the network's type, so that float32 and float64 networks agree.
            drawn = torch.randn(width, outputs, generator=generator, dtype=torch.float64)
            self.register_buffer("readout", torch.linalg.qr(drawn).Q)
        self.to(device=device, dtype=dtype or torch.get_default_dtype())

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs, `(num_samples, num_outputs)`, of inputs, `(num_samples, width)`.

        Raises:
            ValueError: The inputs have another width.
        """
        if self._evaluations is None:
            return self.read_out(self.features(inputs))
        with torch.no_grad():
            features = self.features(inputs)
            outputs = self.read_out(features).clone()
        outputs.requires_grad_(torch.is_grad_enabled())
        self._evaluations.append(Evaluation(inputs.detach(), features, outputs))
        return outputs

    def features(self, inputs: Tensor) -> Tensor:
        """State after the last block, `(num_samples, width)`.

        Raises:
            ValueError: The inputs have another width.
        """
        if inputs.shape[-1] != self.width:
            raise ValueError(f"inputs have width {inputs.shape[-1]}, the network {self.width}")
        blocks = self.coupling_blocks()
        if self.rebuild:
            return rebuilt_features(inputs, blocks)
        state = inputs
        for block in blocks:
            state = block(state)
        return state

    def read_out(self, features: Tensor) -> Tensor:
        """Outputs, `(num_samples, num_outputs)`, of the state after the last block."""
        return features if self.readout is None else features @ self.readout

    def inverse(self, features: Tensor) -> Tensor:
        """Inputs, `(num_samples, width)`, that lead to a state after the last block."""
        for block in reversed(self.coupling_blocks()):
            features = block.inverse(features)
        return features

    def states(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The inputs and the state after each block, each `(num_samples, width)`."""
        states = [inputs]
        for block in self.coupling_blocks():
            states.append(block(states[-1]))
        return tuple(states)

    def coupling_blocks(self) -> list[CouplingBlock]:
        """The blocks, in order."""
        return [block for block in self.blocks if isinstance(block, CouplingBlock)]

    def half_layers(self) -> dict[str, HalfLayer]:
        """The half-layers in order, by the names that their parameters begin with."""
        return {
            name: module for name, module in self.named_modules() if isinstance(module, HalfLayer)
        }

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Weights and biases of all half-layers, by name."""
        return {
            f"{prefix}.{name}": parameter
            for prefix, half in self.half_layers().items()
            for name, parameter in half.named_parameters()
        }

    @contextmanager
    def recording(self) -> Iterator[list[Evaluation]]:
        """Record every forward pass; gradients then reach the outputs and go no further back.

        What Gauss-Newton needs is the gradient with respect to the outputs alone, so the pass back
        through the blocks is spared.

        Yields:
            The passes so far, in order.
        """
        before, self._evaluations = self._evaluations, []
        try:
            yield self._evaluations
        finally:
            self._evaluations = before


def _check_sizes(width: int, num_blocks: int, hidden: int | None, outputs: int | None) -> None:
    if width < 2 or width % 2:
        raise ValueError(
            f"width is {width}, but a state has two halves of the same size: use an even width, "
            "for instance by adding a column of zeros to the inputs"
        )
    if num_blocks < 1:
        raise ValueError(f"num_blocks is {num_blocks}; use 1 or more")
    if hidden is not None and hidden < 1:
        raise ValueError(f"hidden is {hidden}; use 1 or more, or None for no inner projection")
    if outputs is not None and not 1 <= outputs <= width:
        raise ValueError(f"outputs is {outputs}; an orthonormal readout has 1 to {width}")
