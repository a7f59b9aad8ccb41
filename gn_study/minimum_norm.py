"""The Moore-Penrose Gauss-Newton direction, by way of the neural tangent kernel."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gn_study.batches import check_batch
from gn_study.derivative import relative_residual
from gn_study.factors import factor_gram
from gn_study.kernel import output_kernel
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.ranks import RankError
from gn_study.reversible_network import ReversibleNetwork


@dataclass(frozen=True)
class MinNormDiagnostics:
    """How a direction came about.

    Attributes:
        kept_rank: Number of singular values of the Jacobian that were kept.
        num_rows: Of the Jacobian; an exact step needs `kept_rank` to be as many.
        condition: Largest singular value by the smallest kept one.
        right_inverse_residual: `||J d - error|| / ||error||`; None where it was not measured.
    """

    kept_rank: int
    num_rows: int
    condition: float
    right_inverse_residual: float | None


def min_norm_direction(
    model: ReversibleNetwork,
    inputs: Tensor,
    error: Tensor,
    *,
    pseudo_inverse: PseudoInverse | None = None,
    strict: bool = False,
    measure_residual: bool = False,
) -> tuple[dict[str, Tensor], MinNormDiagnostics]:
    """The shortest direction that changes outputs by `error`: `J^+ error = J^T (J J^T)^+ error`.

    The paper says that it cannot be computed for large networks; with a readout of few outputs it
    takes a decomposition of `num_samples * num_outputs` rows and one pass back.

    Args:
        model: The network.
        inputs: `(num_samples, width)`.
        error: Wanted decrease of the outputs, `(num_samples, num_outputs)`.
        pseudo_inverse: How the whole Jacobian's singular values are inverted; by the route `gram`,
            without noise. None for truncation at the same 1 % as the paper's of features.
        strict: Refuse a batch for which singular values are dropped.
        measure_residual: Measure `right_inverse_residual`, at the cost of two forward passes.

    Returns:
        For each trained parameter, by name, a tensor of its shape; and how it came about.

    Raises:
        ValueError: Shapes or types do not fit, or there is no such pseudo-inverse of a kernel.
        FloatingPointError: Inputs or error are not finite.
        RankError: Under `strict`, the Jacobian has a lower rank than rows.
    """
    pseudo_inverse = pseudo_inverse or PseudoInverse()
    check_kernel_inverse(pseudo_inverse)
    check_batch(model, inputs, error)
    factor = factor_gram(output_kernel(model, inputs), pseudo_inverse)
    num_rows = error.numel()
    if strict and factor.kept_rank < num_rows:
        raise RankError(
            f"the Jacobian keeps rank {factor.kept_rank} of the {num_rows} that this batch needs: "
            "use a smaller batch, truncate less, or leave `strict` out"
        )
    with torch.no_grad():
        coefficients = factor.coefficients(error.reshape(-1, 1)).view_as(error)
    trained = model.trained_parameters()
    with torch.enable_grad():
        gradients = torch.autograd.grad(model(inputs), list(trained.values()), coefficients)
    direction = dict(zip(trained, gradients, strict=True))
    residual = relative_residual(model, inputs, direction, error) if measure_residual else None
    return direction, MinNormDiagnostics(factor.kept_rank, num_rows, factor.condition, residual)


def check_kernel_inverse(pseudo_inverse: PseudoInverse) -> None:
    """See that a pseudo-inverse is one that a kernel has.

    Args:
        pseudo_inverse: Any.

    Raises:
        ValueError: It needs the Jacobian itself.
    """
    if pseudo_inverse.route == "svd" or pseudo_inverse.kind == "noise":
        raise ValueError(
            "the kernel has neither the route svd nor noise: the Jacobian is not formed"
        )
