"""How much of a pruning study each profile measures."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from compression.studies.methods import METHODS, Grid
from pipelines.compression_study.measuring import Plan

ProfileName = Literal["smoke", "cpu", "full"]

SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True)
class MLPNetProfile:
    """A plan for the MLPNet.

    Attributes:
        plan: Which cells.
        num_images: Training images that are used; None for all.
        num_held_out: Training images that settings are chosen by.
    """

    plan: Plan
    num_images: int | None
    num_held_out: int


SMOKE_GRID = Grid(
    dampings=(1e-2,),
    samples=((100, 4),),
    exact_samples=((100, 10),),
    temperatures=(2.0,),
    steps=100,
    metric_steps=100,
)
GRID = Grid(
    dampings=(1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 1.0),
    samples=((1000, 1), (1000, 16), (2000, 8)),
    exact_samples=((1000, 2), (1000, 4), (1000, 8)),
    temperatures=(2.0, 4.0, 8.0),
)
STAGE_GRID = Grid(
    dampings=(1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 1.0),
    samples=((1000, 16),),
    exact_samples=((1000, 8),),
    temperatures=(2.0,),
)

ALL = tuple(METHODS)
SEEDS = (0, 1, 2, 3, 4)

MLPNET: Mapping[ProfileName, MLPNetProfile] = MappingProxyType(
    {
        "smoke": MLPNetProfile(
            Plan(
                methods=("magnitude", "block_fisher", "chita", "fishleg_joint"),
                sparsities=(0.9,),
                stages=(1,),
                seeds=(0,),
                grid=SMOKE_GRID,
                stage_grid=SMOKE_GRID,
            ),
            num_images=3000,
            num_held_out=1000,
        ),
        "cpu": MLPNetProfile(Plan(ALL, SPARSITIES, (1,), SEEDS, GRID, STAGE_GRID), None, 5000),
        "full": MLPNetProfile(
            Plan(ALL, SPARSITIES, (1, 10, 15), SEEDS, GRID, STAGE_GRID), None, 5000
        ),
    }
)
