"""The Woodbury recursion: the inverse of a sum of outer products, some gradients at a time."""

import torch
from torch import Tensor


def add_gradients(inverse: Tensor, gradients: Tensor, total: int) -> None:
    r"""Replace inverses `A^-1` by `(A + G'G / total)^-1`, in place.

    With one gradient at a time this is the recursion of WoodFisher (Singh and Alistarh, 2020,
    equation 4) and oBERT; several at once need as many passes over the memory fewer. Errors grow
    with the ratio of the largest curvature to the damping that the recursion starts from: below
    1e-6 of it, single precision leaves only about two digits.

    Args:
        inverse: Symmetric matrices `(..., width, width)`.
        gradients: `(..., number, width)`.
        total: How many gradients there will be in all.
    """
    products = gradients @ inverse
    inner = products @ gradients.transpose(-1, -2)
    inner.diagonal(dim1=-2, dim2=-1).add_(total)
    factor = torch.linalg.cholesky(inner)
    halves = torch.linalg.solve_triangular(factor, products, upper=False)
    inverse -= halves.transpose(-1, -2) @ halves
