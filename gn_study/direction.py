"""The exact Gauss-Newton direction of a reversible network (Prop. 4.4, Eqs. 16, 17)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gn_study.batches import check_batch
from gn_study.coupling import CouplingBlock
from gn_study.derivative import relative_residual
from gn_study.factors import KeptFactor
from gn_study.half_inverse import HalfInverse, invert_features
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.ranks import HalfLayerDiagnostics, check_rank, diagnose
from gn_study.reversible_network import ReversibleNetwork

LayerWeights = Literal["mean", "sum", "minimum_norm"] | Sequence[float]
"""How much each block contributes: equal shares (the paper's `1 / L`), one each (the released
code, whose step is `L` times as long), the shares that make the step shortest, or given figures."""


@dataclass(frozen=True)
class Diagnostics:
    """How a direction came about.

    Attributes:
        half_layers: From the first to the last.
        layer_weights: Of each block.
        tangent_norms: Wanted change of each block's output by that of the network's outputs.
        right_inverse_residual: `||J d - error|| / ||error||` over the outputs; None where it was
            not measured.
    """

    half_layers: tuple[HalfLayerDiagnostics, ...]
    layer_weights: tuple[float, ...]
    tangent_norms: tuple[float, ...]
    right_inverse_residual: float | None


@torch.no_grad()
def gn_direction(
    model: ReversibleNetwork,
    inputs: Tensor,
    error: Tensor,
    *,
    pseudo_inverse: PseudoInverse | None = None,
    layer_weights: LayerWeights = "mean",
    cross_term: bool = True,
    strict: bool = False,
    measure_residual: bool = False,
    features: Tensor | None = None,
    generator: torch.Generator | None = None,
    kept: KeptFactor | None = None,
) -> tuple[dict[str, Tensor], Diagnostics]:
    """The direction `J^- error`, whose step changes outputs by `-error` to first order.

    `J^-` is the paper's right inverse of the Jacobian, which for more than one block is not the
    Moore-Penrose inverse. Blocks are inverted one by one from the last to the first; the wanted
    change of a block's output is the tangent of the inverse of all blocks behind it. All samples
    are used at once, and no parameter changes.

    Args:
        model: The network.
        inputs: `(num_samples, width)`.
        error: Wanted decrease of the outputs, `(num_samples, num_outputs)`: for square loss the
            gradient of the summed loss with respect to the outputs.
        pseudo_inverse: How features are inverted; None for the paper's truncation.
        layer_weights: How much each block contributes; exact where they add up to one.
        cross_term: Whether the second half-layer of a block takes into account what the change of
            the first does to its inputs (Eq. 17). Without, the step is that of the paper's first
            released code, and no right inverse.
        strict: Refuse a batch that features of too low a rank cannot fit.
        measure_residual: Measure `right_inverse_residual`, at the cost of two forward passes.
        features: State after the last block, `(num_samples, width)`, if it is known.
        generator: Of noise; None for torch's own.
        kept: Keeps the decomposition of the first half-layer's features, which no step changes, for
            the same batch to come again.

    Returns:
        For each trained parameter, by name, a tensor of its shape; and how it came about.

    Raises:
        ValueError: Shapes, types or weights do not fit.
        FloatingPointError: Inputs or error are not finite.
        RankError: Under `strict`, features have a lower rank than there are samples.
    """
    pseudo_inverse = pseudo_inverse or PseudoInverse()
    check_batch(model, inputs, error)
    if strict:
        check_rank(model, len(inputs))
    state = model.features(inputs) if features is None else features
    tangent = error if model.readout is None else error @ model.readout.T
    direction: dict[str, Tensor] = {}
    diagnostics: dict[str, HalfLayerDiagnostics] = {}
    norms, tangent_norms = [], []
    scale = max(float(error.norm()), torch.finfo(error.dtype).tiny)
    blocks = model.coupling_blocks()
    for number in reversed(range(len(blocks))):
        tangent_norms.append(float(tangent.norm()) / scale)
        before = inputs if number == 0 else None
        passed = _Passed.through(blocks[number], state, tangent, before)
        inverses = invert_features(
            list(zip(blocks[number].half_layers().values(), passed.features, strict=True)),
            pseudo_inverse,
            generator,
            kept if number == 0 else None,
        )
        targets = passed.targets(blocks[number], inverses[0], cross_term)
        change = {}
        for half_name, inverse, target in zip(("first", "second"), inverses, targets, strict=True):
            name = f"blocks.{number}.{half_name}"
            diagnostics[name] = diagnose(name, inverse.factor, len(inverse.features), strict)
            weight, bias = inverse.solve(target)
            change[f"{name}.weight"] = weight
            if bias is not None:
                change[f"{name}.bias"] = bias
        direction |= change
        norms.append(float(torch.stack([value.norm() for value in change.values()]).norm()))
        if number:
            state, tangent = passed.before(blocks[number])
        # The next block's features need not wait beside these.
        del passed, inverses
    shares = _shares(layer_weights, norms[::-1])
    for name, value in direction.items():
        value.mul_(shares[int(name.split(".")[1])])
    ordered = {name: direction[name] for name in model.trained_parameters()}
    return ordered, Diagnostics(
        tuple(diagnostics[name] for name in model.half_layers()),
        shares,
        tuple(tangent_norms[::-1]),
        relative_residual(model, inputs, ordered, error) if measure_residual else None,
    )


@dataclass(frozen=True)
class _Passed:
    """A block on the way back: states and wanted changes, halves as `(num_samples, width / 2)`.

    Attributes:
        left: Left half behind the block.
        right: Right half before the block.
        left_tangent: Wanted change of the left half behind the block.
        right_tangent: Wanted change of the right half behind the block.
        right_tangent_before: The same before the block, if only the block's input changed.
        features: Of both half-layers, each `(num_samples, hidden)`.
    """

    left: Tensor
    right: Tensor
    left_tangent: Tensor
    right_tangent: Tensor
    right_tangent_before: Tensor
    features: tuple[Tensor, Tensor]

    @classmethod
    def through(
        cls, block: CouplingBlock, state: Tensor, tangent: Tensor, before: Tensor | None
    ) -> "_Passed":
        """Go back as far as between the half-layers; `before` is the block's input if known."""
        left, right = state.chunk(2, dim=-1)
        left_tangent, right_tangent = tangent.chunk(2, dim=-1)
        second = block.second.features(left)
        pushed = block.second.push_forward(second, left_tangent, block.second.weight)
        if before is None:
            right = right - block.second.combine(second)
        else:
            right = before.chunk(2, dim=-1)[1]
        first = block.first.features(right)
        tangents = (left_tangent, right_tangent, right_tangent - pushed)
        return cls(left, right, *tangents, (first, second))

    def targets(
        self, block: CouplingBlock, first: HalfInverse, cross_term: bool
    ) -> tuple[Tensor, Tensor]:
        """What both half-layers' outputs shall change by through their weights.

        Eq. 17 takes from the right half's wanted change what the first half-layer's change brings
        about. Where that is all that is wanted of the left half, the tangent before the block
        remains; what the first half-layer misses brings nothing about.
        """
        if not cross_term:
            return self.left_tangent, self.right_tangent
        if first.is_exact:
            return self.left_tangent, self.right_tangent_before
        missed = self.left_tangent - first.fitted(self.left_tangent)
        pushed = block.second.push_forward(self.features[1], missed, block.second.weight)
        return self.left_tangent, self.right_tangent_before + pushed

    def before(self, block: CouplingBlock) -> tuple[Tensor, Tensor]:
        """State and wanted change before the block, `(num_samples, width)`."""
        features, right_tangent = self.features[0], self.right_tangent_before
        left = self.left - block.first.combine(features)
        pushed = block.first.push_forward(features, right_tangent, block.first.weight)
        tangent = torch.cat([self.left_tangent - pushed, right_tangent], dim=-1)
        return torch.cat([left, self.right], dim=-1), tangent


def _shares(layer_weights: LayerWeights, norms: Sequence[float]) -> tuple[float, ...]:
    """Weight of each block, from the norms of their parts of the direction."""
    num_blocks = len(norms)
    if layer_weights == "mean":
        return (1 / num_blocks,) * num_blocks
    if layer_weights == "sum":
        return (1.0,) * num_blocks
    if layer_weights == "minimum_norm":
        # A block whose features keep nothing has no part in the step, however short.
        inverse = [1 / norm**2 if norm else 0.0 for norm in norms]
        total = sum(inverse)
        if not total:
            return (1 / num_blocks,) * num_blocks
        return tuple(value / total for value in inverse)
    if isinstance(layer_weights, str):
        raise ValueError(f"layer_weights is '{layer_weights}': use mean, sum or minimum_norm")
    if len(layer_weights) != num_blocks:
        raise ValueError(f"{len(layer_weights)} layer_weights for {num_blocks} blocks")
    return tuple(float(weight) for weight in layer_weights)
