"""Linear centred kernel alignment (CKA) between representations of the same samples.

The biased estimator is close to 1 for any two representations that are wider than the samples are
many, as those of the paper's networks are on a batch; the debiased one (Song et al., 2012) is near
0 for unrelated ones. Both work on Gram matrices, so that representations need not be kept.
"""

import torch
from torch import Tensor

FEWEST_SAMPLES = 4
"""The debiased estimator divides by `num_samples - 3`."""


def gram(representation: Tensor) -> Tensor:
    """Gram matrix of a representation, float64 `(num_samples, num_samples)`.

    Args:
        representation: One row per sample, `(num_samples, width)`.
    """
    rows = representation.detach().double()
    return rows @ rows.T


def linear_cka(first: Tensor, second: Tensor, debiased: bool = True) -> float:
    """Linear CKA of two representations, from their Gram matrices.

    Args:
        first: Gram matrix `(num_samples, num_samples)`.
        second: Gram matrix of another representation of the same samples.
        debiased: Whether to use the unbiased estimator of HSIC; it needs 4 samples or more and
            may fall below 0.

    Raises:
        ValueError: The shapes differ, or there are too few samples.
    """
    if first.shape != second.shape:
        raise ValueError(
            f"Gram matrices of {len(first)} and {len(second)} samples cannot be compared"
        )
    if debiased and len(first) < FEWEST_SAMPLES:
        raise ValueError(f"debiased CKA needs {FEWEST_SAMPLES} samples or more, not {len(first)}")
    criterion = _debiased_hsic if debiased else _biased_hsic
    one, other = first.double(), second.double()
    scale = criterion(one, one) * criterion(other, other)
    return float(criterion(one, other) / scale.sqrt())


def _biased_hsic(first: Tensor, second: Tensor) -> Tensor:
    """Hilbert-Schmidt independence criterion up to a constant: `<H K H, H L H>`."""
    return (_centred(first) * _centred(second)).sum()


def _centred(matrix: Tensor) -> Tensor:
    by_row = matrix.mean(dim=0, keepdim=True)
    return matrix - by_row - by_row.T + matrix.mean()


def _debiased_hsic(first: Tensor, second: Tensor) -> Tensor:
    """HSIC_1 of Song et al. (2012), equation 5, up to the factor `1 / (n (n - 3))`."""
    number = len(first)
    one, other = _without_diagonal(first), _without_diagonal(second)
    totals = one.sum() * other.sum() / ((number - 1) * (number - 2))
    # Both matrices are symmetric, so their product's sum is that of their rows' sums.
    rows = torch.dot(one.sum(dim=0), other.sum(dim=0)) * 2 / (number - 2)
    return (one * other).sum() + totals - rows


def _without_diagonal(matrix: Tensor) -> Tensor:
    return matrix - torch.diag(matrix.diagonal())
