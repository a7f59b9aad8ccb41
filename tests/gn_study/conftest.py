from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gn_study.revmlp import RevMLP


@pytest.fixture
def make_network() -> Callable[..., RevMLP]:
    """Small float64 networks far enough from the identity for every term to matter."""

    def make(width: int = 6, **options: object) -> RevMLP:
        settings = {"hidden": 24, "activation": "tanh", "init_std": 0.4, "num_blocks": 2}
        return RevMLP(width, **{**settings, "dtype": torch.float64, **options})  # type: ignore[arg-type]

    return make


@pytest.fixture
def draw() -> Callable[..., Tensor]:
    """Standard normal float64 numbers; the same for the same seed."""

    def normal(*shape: int, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(1000 + seed)
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return normal
