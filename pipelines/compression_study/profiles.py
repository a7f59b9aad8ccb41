"""How much of a pruning study each profile measures."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from compression.studies.methods import METHODS, Grid
from compression.studies.training import TrainingSettings
from pipelines.compression_study.fine_tuning import FineTuning
from pipelines.compression_study.measuring import Plan
from pipelines.dense_networks import DenseRecipe

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
    dampings=(1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 1.0),
    samples=((1000, 1), (1000, 16), (2000, 8)),
    exact_samples=((1000, 2), (1000, 4), (1000, 8)),
    temperatures=(1.0, 2.0, 4.0),
)
STAGE_GRID = Grid(
    dampings=(1e-4, 1e-3, 1e-2, 1e-1),
    samples=((1000, 16),),
    exact_samples=((1000, 8),),
    temperatures=(2.0,),
)

FOR_CONVOLUTIONS = ("sparsegpt", "fishleg_three_factor", "fishleg_three_factor_sweep")
"""For layers of thousands of inputs, too many for greedy removal."""

LARGE_FACTOR = "fishleg_sweep"
"""With a factor for inputs and kernel together: seven times as much to learn as with three."""

CONVOLUTIONAL = ("magnitude", "diagonal_fisher", "block_fisher", *FOR_CONVOLUTIONS)

ALL = tuple(name for name in METHODS if name not in (*FOR_CONVOLUTIONS, LARGE_FACTOR))
"""Of the MLPNet, whose layers are small enough for greedy removal."""

SEEDS = (0, 1, 2, 3, 4)

MLPNET: Mapping[ProfileName, MLPNetProfile] = MappingProxyType(
    {
        "smoke": MLPNetProfile(
            Plan(
                methods=("magnitude", "block_fisher", "chita", "fishleg_greedy", "fishleg_joint"),
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


@dataclass(frozen=True)
class ResNet18Profile:
    """A plan for the ResNet-18.

    Attributes:
        recipe: Its dense training.
        plan: Which cells without fine-tuning.
        num_images: Training and test images that are used, of each; None for all.
        num_held_out: Training images that settings are chosen by.
        fine_tuning: How pruned networks are fine-tuned.
        fine_tuned_methods: Of the plan's methods, those that are fine-tuned, too.
        fine_tuned_sparsities: Of the fine-tuned cells, in as many stages as the first of the plan.
        fine_tuned_seeds: Their seeds.
    """

    recipe: DenseRecipe
    plan: Plan
    num_images: int | None
    num_held_out: int
    fine_tuning: TrainingSettings
    fine_tuned_methods: tuple[str, ...]
    fine_tuned_sparsities: tuple[float, ...]
    fine_tuned_seeds: tuple[int, ...]


SMOKE_CONVOLUTIONAL_GRID = Grid(
    dampings=(1e-4,),
    samples=((32, 4),),
    exact_samples=((16, 8),),
    temperatures=(1.0,),
    steps=5,
    layer_dampings=(1e-1,),
)
CONVOLUTIONAL_GRID = Grid(
    dampings=(1e-6, 1e-5),
    samples=((64, 16),),
    exact_samples=((64, 16),),
    temperatures=(1.0,),
    steps=10,
    layer_dampings=(1e-1, 1.0),
)
LARGE_CONVOLUTIONAL_GRID = Grid(
    dampings=(1e-7, 1e-6, 1e-5, 1e-4),
    samples=((512, 16),),
    exact_samples=((512, 16),),
    temperatures=(1.0,),
    steps=200,
    layer_dampings=(1e-3, 1e-2, 1e-1, 1.0),
)

RESNET18: Mapping[ProfileName, ResNet18Profile] = MappingProxyType(
    {
        "smoke": ResNet18Profile(
            DenseRecipe(
                8, TrainingSettings(epochs=6, cuts=((3, 24),), batch_size=50, averaging=0.9)
            ),
            Plan(
                methods=CONVOLUTIONAL,
                sparsities=(0.8,),
                stages=(1,),
                seeds=(0,),
                grid=SMOKE_CONVOLUTIONAL_GRID,
                stage_grid=SMOKE_CONVOLUTIONAL_GRID,
            ),
            num_images=2000,
            num_held_out=500,
            fine_tuning=TrainingSettings(
                epochs=1, cuts=(), batch_size=50, learning_rate=0.02, averaging=0.9
            ),
            fine_tuned_methods=("magnitude", "fishleg_three_factor_sweep"),
            fine_tuned_sparsities=(0.8,),
            fine_tuned_seeds=(0,),
        ),
        "cpu": ResNet18Profile(
            DenseRecipe(64, TrainingSettings(epochs=17, cuts=((13, 24),))),
            Plan(
                methods=CONVOLUTIONAL,
                sparsities=(0.9, 0.95),
                stages=(1, 4),
                seeds=(0, 1, 2),
                grid=CONVOLUTIONAL_GRID,
                stage_grid=CONVOLUTIONAL_GRID,
                choose_at_once=True,
            ),
            num_images=None,
            num_held_out=1000,
            fine_tuning=TrainingSettings(epochs=3, cuts=(), learning_rate=0.02, averaging=0.99),
            fine_tuned_methods=("magnitude", "fishleg_three_factor_sweep"),
            fine_tuned_sparsities=(0.95,),
            fine_tuned_seeds=(0,),
        ),
        "full": ResNet18Profile(
            DenseRecipe(64, TrainingSettings(epochs=40, cuts=())),
            Plan(
                methods=(*CONVOLUTIONAL, LARGE_FACTOR, "mfac", "chita"),
                sparsities=(0.5, 0.8, 0.9, 0.95, 0.98),
                stages=(1, 10),
                seeds=(0, 1, 2),
                grid=LARGE_CONVOLUTIONAL_GRID,
                stage_grid=LARGE_CONVOLUTIONAL_GRID,
            ),
            num_images=None,
            num_held_out=1000,
            fine_tuning=TrainingSettings(epochs=5, cuts=(), learning_rate=0.02, averaging=0.99),
            fine_tuned_methods=CONVOLUTIONAL,
            fine_tuned_sparsities=(0.9, 0.95),
            fine_tuned_seeds=(0, 1, 2),
        ),
    }
)


@dataclass(frozen=True)
class PredictorProfile:
    """A plan for the network of a return predictor.

    Attributes:
        plan: Which cells without fine-tuning.
        fine_tuning: How pruned networks are fine-tuned.
        fine_tuned_sparsities: Of the fine-tuned cells, with the first seed.
    """

    plan: Plan
    fine_tuning: FineTuning
    fine_tuned_sparsities: tuple[float, ...]


PREDICTOR_METHODS = ("magnitude", "diagonal_fisher", "block_fisher", "fishleg")

SMOKE_PREDICTOR_GRID = Grid(
    dampings=(1e-4,),
    samples=((64, 8),),
    exact_samples=((32, 8),),
    temperatures=(1.0,),
    steps=20,
    metric_steps=20,
)
PREDICTOR_GRID = Grid(
    dampings=(1e-5, 1e-4, 1e-3),
    samples=((256, 16),),
    exact_samples=((64, 16),),
    temperatures=(1.0,),
    steps=100,
    metric_steps=50,
)
LARGE_PREDICTOR_GRID = Grid(
    dampings=(1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
    samples=((1000, 4), (1000, 16)),
    exact_samples=((1000, 4), (1000, 16)),
    temperatures=(1.0,),
)

PREDICTOR: Mapping[ProfileName, PredictorProfile] = MappingProxyType(
    {
        "smoke": PredictorProfile(
            Plan(
                methods=("magnitude", "diagonal_fisher", "fishleg"),
                sparsities=(0.9,),
                stages=(1,),
                seeds=(0,),
                grid=SMOKE_PREDICTOR_GRID,
                stage_grid=SMOKE_PREDICTOR_GRID,
            ),
            FineTuning(stages=2, steps=10),
            fine_tuned_sparsities=(0.9,),
        ),
        "cpu": PredictorProfile(
            Plan(
                methods=PREDICTOR_METHODS,
                sparsities=(0.5, 0.8, 0.9, 0.95),
                stages=(1,),
                seeds=(0, 1, 2),
                grid=PREDICTOR_GRID,
                stage_grid=PREDICTOR_GRID,
            ),
            FineTuning(stages=4, steps=256),
            fine_tuned_sparsities=(0.9, 0.95),
        ),
        "full": PredictorProfile(
            Plan(
                methods=(*PREDICTOR_METHODS, "mfac", "chita", "fishleg_joint"),
                sparsities=SPARSITIES,
                stages=(1, 10),
                seeds=SEEDS,
                grid=LARGE_PREDICTOR_GRID,
                stage_grid=PREDICTOR_GRID,
            ),
            FineTuning(stages=10, steps=1000),
            fine_tuned_sparsities=SPARSITIES,
        ),
    }
)
