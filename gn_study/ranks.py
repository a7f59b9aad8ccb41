"""Ranks of features: what a batch needs, what is there, what is kept."""

from dataclasses import dataclass

from gn_study.factors import Factor
from gn_study.reversible_network import ReversibleNetwork


class RankError(ValueError):
    """Features have a lower rank than an exact step needs."""


@dataclass(frozen=True)
class HalfLayerDiagnostics:
    """What became of one half-layer's features.

    Attributes:
        name: Of the half-layer.
        kept_rank: Number of singular values that were kept.
        num_rows: Of the features, one for each sample (and pixel, of a convolutional half-layer):
            what an exact step needs `kept_rank` to be.
        condition: Largest singular value by the smallest kept one.
    """

    name: str
    kept_rank: int
    num_rows: int
    condition: float


def check_rank(model: ReversibleNetwork, num_samples: int) -> None:
    """Refuse at once a batch that no values of the weights can fit.

    Args:
        model: The network.
        num_samples: Size of the batch.

    Raises:
        RankError: A half-layer's features cannot have as high a rank.
    """
    for name, half in model.half_layers().items():
        num_rows = num_samples * half.num_positions
        if num_rows > half.largest_rank:
            pixels = f" with {num_rows} pixels" if half.num_positions > 1 else ""
            raise RankError(
                f"a batch of {num_samples}{pixels} is larger than the rank {half.largest_rank} "
                f"that {name} allows: use a smaller batch or a larger `hidden`"
                + (", or another activation" if half.activation == "identity" else "")
            )


def diagnose(name: str, factor: Factor, num_rows: int, strict: bool) -> HalfLayerDiagnostics:
    """What became of a half-layer's features.

    Args:
        name: Of the half-layer.
        factor: Of its features.
        num_rows: Of its features.
        strict: Refuse a rank below the number of rows.

    Raises:
        RankError: Under `strict`, fewer singular values are kept than there are rows.
    """
    if strict and factor.kept_rank < num_rows:
        raise RankError(
            f"{name} keeps rank {factor.kept_rank} of the {num_rows} that this batch needs: use "
            "a smaller batch, truncate less, or leave `strict` out"
        )
    return HalfLayerDiagnostics(name, factor.kept_rank, num_rows, factor.condition)
