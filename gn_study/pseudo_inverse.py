"""How the features of a half-layer are inverted: the options."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["truncated", "damped", "tikhonov", "noise", "none"]
"""What takes the place of a plain inverse."""


@dataclass(frozen=True)
class PseudoInverse:
    """How the features of a half-layer are inverted.

    Attributes:
        kind: `truncated` keeps singular values of at least `max(rtol * s_max, atol)` (the paper);
            `damped` replaces `1 / s` by `1 / (s + damping * s_max)` (App. K); `tikhonov` by
            `s / (s^2 + damping * s_max^2)` (the released code's "damped"); `noise` adds Gaussian
            noise to the features and truncates nothing; `none` keeps all that is not rounding.
        rtol: Of `truncated`, relative.
        atol: Of `truncated`, absolute.
        damping: Of `damped` and `tikhonov`, relative.
        noise_std: Of `noise`, relative to the standard deviation of the features.
        route: `gram` decomposes the Gram matrix in float64; `svd` the features in their own type.
    """

    kind: Kind = "truncated"
    rtol: float = 1e-2
    atol: float = 1e-5
    damping: float = 1e-2
    noise_std: float = 0.1
    route: Literal["gram", "svd"] = "gram"

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: A figure is out of range.
        """
        if not (0 <= self.rtol < 1 and self.atol >= 0):
            raise ValueError(f"rtol {self.rtol} must be in [0, 1), atol {self.atol} at least 0")
        if not (self.damping > 0 and self.noise_std > 0):
            raise ValueError(f"damping {self.damping}, noise_std {self.noise_std} must be above 0")

    @property
    def is_damped(self) -> bool:
        """Whether singular values that are kept are changed."""
        return self.kind in ("damped", "tikhonov")

    def smallest(self, largest: float, floor: float) -> float:
        """The smallest singular value that is kept.

        Args:
            largest: Singular value, or a bound above it.
            floor: Relative size under which a singular value is rounding.
        """
        if self.kind != "truncated":
            return floor * largest
        return max(max(self.rtol, floor) * largest, self.atol)
