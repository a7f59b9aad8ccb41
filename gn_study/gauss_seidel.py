"""Gauss-Newton steps block by block, each of which sees what the blocks before it have reached."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from gn_study.batches import check_batch
from gn_study.derivative import relative_residual
from gn_study.direction import Diagnostics
from gn_study.factors import KeptFactor
from gn_study.half_inverse import invert_features
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.ranks import HalfLayerDiagnostics, check_rank, diagnose
from gn_study.reversible_network import ReversibleNetwork


@torch.no_grad()
def gauss_seidel_direction(
    model: ReversibleNetwork,
    inputs: Tensor,
    error: Tensor,
    step_size: float,
    *,
    pseudo_inverse: PseudoInverse | None = None,
    layer_weights: Literal["mean", "sum"] | Sequence[float] = "mean",
    strict: bool = False,
    measure_residual: bool = False,
    generator: torch.Generator | None = None,
    kept: KeptFactor | None = None,
) -> tuple[dict[str, Tensor], Diagnostics]:
    """A finite step that changes outputs by exactly `-step_size * error`, not to first order alone.

    Where features have full rank, that is. The wanted outputs are carried back through the inverse
    of the unchanged blocks. Then, from the first block to the last, each half-layer is solved for
    the features that it really gets after the changes before it; each block closes its share of the
    distance between the state behind it and the wanted one, the last all that remains. To first
    order the step is `gn_direction`'s.

    Args:
        model: The network; it stays as it is.
        inputs: `(num_samples, width)`.
        error: Wanted decrease of the outputs by a step of size one, `(num_samples, num_outputs)`.
        step_size: By which the direction will be multiplied; above 0.
        pseudo_inverse: How features are inverted; None for the paper's truncation.
        layer_weights: Of each block: equal shares, one each, or given ones of at least 0.
        strict: Refuse a batch that features of too low a rank cannot fit.
        measure_residual: Measure `right_inverse_residual` of the direction, which here is nought
            only to first order in the step size.
        generator: Of noise; None for torch's own.
        kept: Keeps the decomposition of the first half-layer's features for the same batch to come
            again.

    Returns:
        For each trained parameter, by name, a tensor of its shape; and how it came about.

    Raises:
        ValueError: Shapes, types, weights or step size do not fit.
        FloatingPointError: Inputs or error are not finite.
        RankError: Under `strict`, features have a lower rank than there are samples.
    """
    pseudo_inverse = pseudo_inverse or PseudoInverse()
    check_batch(model, inputs, error)
    if strict:
        check_rank(model, len(inputs))
    if not step_size > 0:
        raise ValueError(f"the step size is {step_size}; it must be above 0")
    weights = _given_weights(layer_weights, len(model.blocks))
    change = error if model.readout is None else error @ model.readout.T
    wanted = [model.features(inputs) - step_size * sum(weights) * change]
    for block in reversed(model.coupling_blocks()[1:]):
        wanted.append(block.inverse(wanted[-1]))
    wanted.reverse()

    direction: dict[str, Tensor] = {}
    diagnostics: list[HalfLayerDiagnostics] = []
    gaps = []
    scale = max(step_size * float(error.norm()), torch.finfo(error.dtype).tiny)
    changed, other = inputs.chunk(2, dim=-1)
    for number, block in enumerate(model.coupling_blocks()):
        gap = wanted[number] - block(torch.cat([changed, other], dim=-1))
        gaps.append(float(gap.norm()) / scale)
        remaining = sum(weights[number:])
        share = weights[number] / remaining if remaining else 0.0
        goals = (wanted[number] - (1 - share) * gap).chunk(2, dim=-1)
        for (half_name, half), goal in zip(block.half_layers().items(), goals, strict=True):
            name = f"blocks.{number}.{half_name}"
            features = half.features(other)
            keeping = kept if name == "blocks.0.first" else None
            (inverse,) = invert_features([(half, features)], pseudo_inverse, generator, keeping)
            diagnostics.append(diagnose(name, inverse.factor, len(features), strict))
            now = changed + half.combine(features)
            weight, bias = inverse.solve((now - goal) / step_size)
            direction[f"{name}.weight"] = weight
            if bias is not None:
                direction[f"{name}.bias"] = bias
            changed, other = other, now + inverse.fitted(goal - now)
    return direction, Diagnostics(
        tuple(diagnostics),
        weights,
        tuple(gaps),
        relative_residual(model, inputs, direction, error) if measure_residual else None,
    )


def _given_weights(
    layer_weights: Literal["mean", "sum"] | Sequence[float], num_blocks: int
) -> tuple[float, ...]:
    if layer_weights in ("mean", "sum"):
        return (1 / num_blocks if layer_weights == "mean" else 1.0,) * num_blocks
    if isinstance(layer_weights, str):
        raise ValueError(f"layer_weights is '{layer_weights}': use mean, sum or figures")
    if len(layer_weights) != num_blocks or min(layer_weights) < 0:
        raise ValueError(
            f"layer_weights are {tuple(layer_weights)}: use {num_blocks}, none below 0"
        )
    return tuple(float(weight) for weight in layer_weights)
