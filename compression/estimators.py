"""Estimates of curvature by their names."""

from collections.abc import Callable
from functools import partial

from compression.curvature import Curvature
from compression.families.layered import FAMILIES
from compression.learning import LearnedInverse
from compression.rivals.block import BlockFisher
from compression.rivals.diagonal import DiagonalFisher
from compression.rivals.layerwise import LayerwiseHessian
from compression.rivals.low_rank import LowRankFisher
from compression.rivals.magnitude import Magnitude

CURVATURES: dict[str, Callable[[], Curvature]] = {
    **{family: partial(LearnedInverse, family) for family in FAMILIES},
    "magnitude": Magnitude,
    "diagonal_fisher": DiagonalFisher,
    "block_fisher": BlockFisher,
    "woodfisher": partial(LowRankFisher, by_layer=True),
    "mfac": LowRankFisher,
    "layerwise": LayerwiseHessian,
}
"""Maker of each named estimate, with its defaults."""


def create_curvature(curvature: str | Curvature) -> Curvature:
    """The estimate of that name; one that is there already, as it is.

    Raises:
        ValueError: There is no such name; names those there are.
    """
    if not isinstance(curvature, str):
        return curvature
    if curvature not in CURVATURES:
        raise ValueError(f"unknown curvature {curvature!r}; there are: {', '.join(CURVATURES)}")
    return CURVATURES[curvature]()
