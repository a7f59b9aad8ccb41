"""The exact Gauss-Newton direction of a reversible network (Prop. 4.4, Eqs. 16, 17)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gn_study.batches import check_batch
from gn_study.coupling import CouplingBlock
from gn_study.derivative import relative_residual
from gn_study.half_inverse import HalfInverse
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.ranks import HalfLayerDiagnostics, check_rank, diagnose
from gn_study.revmlp import RevMLP

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
    model: RevMLP,
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
    diagnostics: list[HalfLayerDiagnostics] = []
    norms, tangent_norms = [], []
    scale = max(float(error.norm()), torch.finfo(error.dtype).tiny)
    blocks = model.coupling_blocks()
    for number in reversed(range(len(blocks))):
        prefix = f"blocks.{number}"
        tangent_norms.append(float(tangent.norm()) / scale)
        inverted = _invert_block(
            blocks[number], state, tangent, pseudo_inverse, cross_term, generator
        )
        state, tangent = inverted.state, inverted.tangent
        diagnostics += [
            diagnose(f"{prefix}.{half}", inverted.inverses[half].factor, len(inputs), strict)
            for half in ("second", "first")
        ]
        change = {f"{prefix}.{name}": value for name, value in inverted.change.items()}
        norms.append(sum(float(value.norm()) ** 2 for value in change.values()) ** 0.5)
        direction |= change
    shares = _shares(layer_weights, norms[::-1])
    for name, value in direction.items():
        value.mul_(shares[int(name.split(".")[1])])
    ordered = {name: direction[name] for name in model.trained_parameters()}
    return ordered, Diagnostics(
        tuple(diagnostics[::-1]),
        shares,
        tuple(tangent_norms[::-1]),
        relative_residual(model, inputs, ordered, error) if measure_residual else None,
    )


@dataclass(frozen=True)
class _InvertedBlock:
    """A block's part of the direction, and where the inverse pass stands before it."""

    change: dict[str, Tensor]
    inverses: dict[str, HalfInverse]
    state: Tensor
    tangent: Tensor


def _invert_block(
    block: CouplingBlock,
    state: Tensor,
    tangent: Tensor,
    pseudo_inverse: PseudoInverse,
    cross_term: bool,
    generator: torch.Generator | None,
) -> _InvertedBlock:
    """Go back through a block, from the state and wanted change behind it."""
    left, right = state.chunk(2, dim=-1)
    left_tangent, right_tangent = tangent.chunk(2, dim=-1)
    first, second = block.first, block.second
    second_features = second.features(left)
    right = right - second.combine(second_features)
    right_before = right_tangent - second.push_forward(second_features, left_tangent, second.weight)
    first_features = first.features(right)
    first_inverse = HalfInverse.of(first, first_features, pseudo_inverse, generator)
    second_inverse = HalfInverse.of(second, second_features, pseudo_inverse, generator)

    # Eq. 17 takes from the right half's wanted change what the first half-layer's change brings
    # about. If that is all that is wanted of the left half, what remains is the tangent before the
    # block; else what the first half-layer misses is not brought about.
    right_target = right_tangent
    if cross_term:
        right_target = right_before
        if not first_inverse.is_exact:
            missed = left_tangent - first_inverse.fitted(left_tangent)
            right_target = right_before + second.push_forward(
                second_features, missed, second.weight
            )
    change = {}
    for name, inverse, target in (
        ("first", first_inverse, left_tangent),
        ("second", second_inverse, right_target),
    ):
        weight, bias = inverse.solve(target)
        change[f"{name}.weight"] = weight
        if bias is not None:
            change[f"{name}.bias"] = bias

    left_before = left_tangent - first.push_forward(first_features, right_before, first.weight)
    return _InvertedBlock(
        change,
        {"first": first_inverse, "second": second_inverse},
        torch.cat([left - first.combine(first_features), right], dim=-1),
        torch.cat([left_before, right_before], dim=-1),
    )


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
