"""The exact neural tangent kernel of the outputs, as a sum of Khatri-Rao products.

With few outputs the kernel `J J^T` is small, whatever the number of parameters: half-layer by
half-layer, the Jacobian's row of sample `i` and output `k` is the outer product of the gradient of
that output with respect to the half-layer's output and of the sample's features. Convolutions add
up such products over the pixels, so there is no way around their Jacobian.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gn_study.half_inverse import gram_matrix
from gn_study.reversible_network import ReversibleNetwork

CHUNK = 64
"""Samples whose rows of the kernel are computed at once."""


@dataclass(frozen=True)
class KernelFactor:
    """What one half-layer contributes to the Jacobian.

    Attributes:
        name: Of the half-layer.
        features: `(num_samples * num_positions, hidden)`.
        has_bias: Whether a column of ones belongs to the features.
        gradients: Of each output with respect to the half-layer's output, `(num_samples,
            num_outputs, num_positions, num_channels)`; one position but in convolutions.
    """

    name: str
    features: Tensor
    has_bias: bool
    gradients: Tensor

    def add_to(self, kernel: Tensor) -> None:
        """Add the half-layer's part to a kernel.

        Args:
            kernel: float64 `(num_samples, num_outputs, num_samples, num_outputs)`.
        """
        if self.gradients.shape[2] > 1:
            kernel += gram_matrix(self._jacobian(), False).view_as(kernel)
            return
        gram = gram_matrix(self.features, self.has_bias)
        gradients = self.gradients.squeeze(2).double()
        flat = gradients.flatten(0, 1)
        for start in range(0, len(gradients), CHUNK):
            rows = slice(start, start + CHUNK)
            products = (gradients[rows].flatten(0, 1) @ flat.T).view_as(kernel[rows])
            kernel[rows].addcmul_(products, gram[rows, None, :, None])

    def _jacobian(self) -> Tensor:
        """The Jacobian itself, where weights are shared by positions, over which it is a sum."""
        num_samples, _, num_positions, _ = self.gradients.shape
        features = self.features.view(num_samples, num_positions, -1)
        if self.has_bias:
            features = torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)
        summed = torch.einsum("nopc,nph->noch", self.gradients, features)
        return summed.flatten(2).flatten(0, 1)


@torch.no_grad()
def kernel_factors(model: ReversibleNetwork, inputs: Tensor) -> Iterator[KernelFactor]:
    """What each half-layer contributes to the Jacobian, from the last to the first.

    Args:
        model: The network.
        inputs: `(num_samples, width)`.

    Yields:
        One half-layer's factor at a time, so that not all need be held.
    """
    changed, other = model.features(inputs).chunk(2, dim=-1)
    columns = torch.eye(model.width).to(inputs) if model.readout is None else model.readout
    gradient = columns.T[:, None].expand(-1, len(inputs), -1)
    changed_gradient, other_gradient = gradient.chunk(2, dim=-1)
    for name, half in reversed(model.half_layers().items()):
        changed, other = other, changed
        changed_gradient, other_gradient = other_gradient, changed_gradient
        features = half.features(other)
        changed = changed - half.combine(features)
        rows = torch.stack([half.to_rows(output) for output in changed_gradient], dim=1)
        by_sample = rows.reshape(len(inputs), half.num_positions, *rows.shape[1:])
        yield KernelFactor(name, features, half.bias is not None, by_sample.transpose(1, 2))
        pulled = [half.pull_back(features, output, half.weight) for output in changed_gradient]
        other_gradient = other_gradient + torch.stack(pulled)


@torch.no_grad()
def output_kernel(model: ReversibleNetwork, inputs: Tensor) -> Tensor:
    """The exact neural tangent kernel `J J^T`.

    Args:
        model: The network.
        inputs: `(num_samples, width)`.

    Returns:
        float64 `(num_samples * num_outputs, num_samples * num_outputs)`, sample by sample.
    """
    num_samples, num_outputs = len(inputs), model.num_outputs
    shape = (num_samples, num_outputs, num_samples, num_outputs)
    kernel = torch.zeros(shape, dtype=torch.float64, device=inputs.device)
    for factor in kernel_factors(model, inputs):
        factor.add_to(kernel)
    return kernel.view(num_samples * num_outputs, -1)
