"""Chains of coupling blocks with a fixed readout, invertible from the last state to the inputs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gn_study.coupling import CouplingBlock, HalfLayer
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


class ReversibleNetwork(nn.Module):
    """Additive coupling blocks, then a fixed orthonormal readout (Sec. 4.2).

    Only the outer weights and biases of the half-layers are trained.

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
        blocks: Sequence[CouplingBlock],
        outputs: int | None,
        generator: torch.Generator,
        rebuild: bool,
    ) -> None:
        """Draw the readout.

        Args:
            width: Size of inputs and states.
            blocks: In order.
            outputs: Size of the outputs; None for no readout.
            generator: What draws the readout.
            rebuild: Rebuild activations by inversion in the backward pass.

        Raises:
            ValueError: There are more outputs than orthonormal columns, or there are no blocks.
        """
        super().__init__()
        if not blocks:
            raise ValueError("num_blocks is 0; use 1 or more")
        if outputs is not None and not 1 <= outputs <= width:
            raise ValueError(f"outputs is {outputs}; an orthonormal readout has 1 to {width}")
        self.width = width
        self.num_outputs = width if outputs is None else outputs
        self.rebuild = rebuild
        self._evaluations: list[Evaluation] | None = None
        self.blocks = nn.ModuleList(blocks)
        if outputs is None:
            self.register_buffer("readout", None)
        else:
            # In float64 whatever the network's type, so that float32 and float64 networks agree.
            drawn = torch.randn(width, outputs, generator=generator, dtype=torch.float64)
            self.register_buffer("readout", torch.linalg.qr(drawn).Q)

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
