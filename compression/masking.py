"""A model whose removed weights are, and stay, exactly 0."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from compression.parameters import ParameterSpace
from compression.structures import Candidates


def exact_zeros(network: nn.Module) -> dict[str, Tensor]:
    """Where each parameter is exactly 0, bool in its shape, by name."""
    return {name: weight.detach().eq(0) for name, weight in network.named_parameters()}


def keep_zeros(
    network: nn.Module, optimizer: torch.optim.Optimizer, zeros: Mapping[str, Tensor] | None = None
) -> RemovableHandle:
    """Keep weights at 0 through an optimizer's steps.

    Args:
        network: Whose weights they are.
        optimizer: Of the network.
        zeros: Which weights, as `exact_zeros` gives them, read at every step; None for those that
            are exactly 0 now.

    Returns:
        A handle; its `remove()` ends it.
    """
    kept = exact_zeros(network) if zeros is None else zeros
    weights = dict(network.named_parameters())

    @torch.no_grad()
    def after_step(optimizer: torch.optim.Optimizer, *arguments: Any) -> None:
        for name, weight in weights.items():
            weight.masked_fill_(kept[name], 0)

    return optimizer.register_step_post_hook(after_step)


class MaskedModel:
    """A model, which of its weights are kept, and how removed ones are held at 0.

    Attributes:
        model: Whose weights they are.
        mask: What is kept, bool `(size,)` over the space.
    """

    def __init__(self, model: nn.Module, space: ParameterSpace, candidates: Candidates) -> None:
        """Keep everything.

        Args:
            model: Any module.
            space: Its covered weights.
            candidates: What can be removed of them.
        """
        self.model = model
        self.mask = torch.ones(space.size, dtype=torch.bool, device=space.device)
        self._space = space
        self._candidates = candidates
        self._handles: list[RemovableHandle] = []

    @property
    def sparsity(self) -> float:
        """Share of the weights within the structure's reach that are removed."""
        reachable = self._candidates.reachable
        return int((reachable & ~self.mask).sum()) / int(reachable.sum())

    @property
    def masks(self) -> dict[str, Tensor]:
        """What is kept of each prunable parameter, bool in its shape, by name."""
        views = self._space.unflatten(self.mask)
        return {
            slot.name: views[slot.name].clone() for slot in self._space.slots if slot.is_prunable
        }

    @torch.no_grad()
    def apply_masks(self) -> None:
        """Set removed weights of the model to exactly 0."""
        views = self._space.unflatten(self.mask)
        for name, weight in self._space.of(self.model).items():
            weight.masked_fill_(~views[name], 0)

    def attach(self, optimizer: torch.optim.Optimizer) -> RemovableHandle:
        """Keep removed weights at 0 through an optimizer's steps, whatever it does.

        Returns:
            A handle; its `remove()` ends it, and so does `finalize`.
        """

        def after_step(optimizer: torch.optim.Optimizer, *arguments: Any) -> None:
            self.apply_masks()

        handle = optimizer.register_step_post_hook(after_step)
        self._handles.append(handle)
        return handle

    def _detach(self) -> None:
        """End what `attach` began."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
