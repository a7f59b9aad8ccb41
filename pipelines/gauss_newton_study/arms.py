"""The arms of the suites: five optimisers tuned alike, and what is changed of one of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gn_study.pseudo_inverse import PseudoInverse
from gn_study.studies.configuration import (
    NetworkOptions,
    OptimiserName,
    OptimiserOptions,
    Phase,
)
from pipelines.gauss_newton_study.suites import Arm

GN, MIN_NORM, SGD, MOMENTUM, ADAM = "GN", "min-norm GN", "SGD", "SGD + momentum", "Adam"
RIVALS = (GN, MIN_NORM, SGD, MOMENTUM, ADAM)

GGN = "GN, output Hessian"
NO_BOTTLENECK = ", no bottleneck"
AUGMENTED = ", augmented"
SLOWER, INITIAL, TRUNCATED, DECAYED = ", rate x ", ", init ", ", rtol ", ", weight decay "
"""Parts of the names of arms that differ in one number."""

FIRST_VERSION = "GN, no cross term"
NORM_MINIMISING = "GN, norm-minimising weights"
LAST_BLOCK = "GN, last block only"
GAUSS_SEIDEL = "GN, Gauss-Seidel"
LINEAR_FIRST_BLOCK = "GN, linear first block"
DAMPED, NOISE = "GN, damped", "GN, noise"
STRONG_MIN_NORM = "min-norm GN, damping 1e-2"
EQUAL_STEP = "min-norm GN, rate of GN"
LONG = ", long"

NAMES: dict[str, OptimiserName] = {
    GN: "gn",
    MIN_NORM: "min_norm_gn",
    SGD: "sgd",
    MOMENTUM: "momentum",
    ADAM: "adam",
}

RATES: dict[str, tuple[float, ...]] = {
    GN: (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    MIN_NORM: (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    SGD: (0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
    MOMENTUM: (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    ADAM: (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}
"""Learning rates on trial: two and a half decades in six steps for each, up to where training
breaks down."""

GGN_DAMPING = 0.1
"""Added to the softmax Hessian, whose inverse grows without bound as predictions become certain."""

TIKHONOV = PseudoInverse(kind="tikhonov", damping=1e-4)
"""Of the minimum-norm step: `s / (s^2 + 1e-4 s_max^2)` falls to half where the paper truncates, at
`s = 1e-2 s_max`, and needs no eigen-decomposition of the whole kernel."""


@dataclass(frozen=True)
class Setting:
    """What the arms of a suite share.

    Attributes:
        network: What is trained.
        batch_size: Samples of an update; None: full batch.
        epochs: Length of every run.
    """

    network: NetworkOptions
    batch_size: int | None
    epochs: int

    def tuned(self, name: str) -> Arm:
        """One of the rivals, with its learning rates on trial."""
        return Arm(
            name, (Phase(_optimiser(name), self.epochs),), self.network, self.batch_size,
            rates=RATES[name],
        )  # fmt: skip

    def changed(self, name: str, of: str = GN, question: str = "", **changes: object) -> Arm:
        """A rival with some options of its optimiser changed and its learning rate kept.

        Args:
            name: Of the new arm.
            of: The rival.
            question: That it answers.
            **changes: Options of the optimiser.
        """
        optimiser = replace(_optimiser(of), **changes)  # type: ignore[arg-type]
        return Arm(
            name, (Phase(optimiser, self.epochs),), self.network, self.batch_size,
            rates_of=(of,), question=question, compared_with=of,
        )  # fmt: skip

    def of_network(self, name: str, of: str, question: str, **changes: object) -> Arm:
        """A rival on another network, its learning rate kept.

        Args:
            name: Of the new arm.
            of: The rival.
            question: That it answers.
            **changes: Options of the network.
        """
        network = replace(self.network, **changes)  # type: ignore[arg-type]
        return replace(self.changed(name, of, question), network=network)


def rivals(setting: Setting, names: Sequence[str] = RIVALS) -> tuple[Arm, ...]:
    """The five optimisers, or some of them."""
    return tuple(setting.tuned(name) for name in names)


def inverses(setting: Setting) -> tuple[Arm, ...]:
    """Q4: other inverses than the paper's, on the same steps in function space."""
    last = (0.0,) * (setting.network.num_blocks - 1) + (1.0,)
    changed = setting.changed(EQUAL_STEP, MIN_NORM, "Q4")
    equal_step = replace(changed, rates_of=(GN,), compared_with=GN)
    return (
        equal_step,
        setting.changed(FIRST_VERSION, question="Q4", cross_term=False),
        setting.changed(NORM_MINIMISING, question="Q4", layer_weights="minimum_norm"),
        setting.changed(LAST_BLOCK, question="Q4", layer_weights=last),
        setting.changed(
            STRONG_MIN_NORM, MIN_NORM, "Q4", pseudo_inverse=replace(TIKHONOV, damping=1e-2)
        ),
    )


def truncations(setting: Setting, *cutoffs: float) -> tuple[Arm, ...]:
    """Q5: other relative singular values below which a direction is dropped."""
    return tuple(
        setting.changed(
            f"{GN}{TRUNCATED}{rtol:g}", question="Q5", pseudo_inverse=PseudoInverse(rtol=rtol)
        )
        for rtol in cutoffs
    )


def regularisations(setting: Setting) -> tuple[Arm, ...]:
    """Q5 and figure 14: how singular values are treated."""
    return (
        *truncations(setting, 0.0, 1e-4, 1e-3, 1e-1),
        setting.changed(DAMPED, question="Q5", pseudo_inverse=PseudoInverse(kind="damped")),
        setting.changed(NOISE, question="Q5", pseudo_inverse=PseudoInverse(kind="noise")),
    )


def slower(setting: Setting) -> tuple[Arm, ...]:
    """Q3 and figure 12: smaller learning rates of Gauss-Newton."""
    return tuple(
        replace(setting.changed(f"{GN}{SLOWER}{factor:g}", question="Q3"), rate_factor=factor)
        for factor in (0.1, 0.01)
    )


def weight_decays(setting: Setting) -> tuple[Arm, ...]:
    """Figure 13: weight decay."""
    return tuple(
        setting.changed(f"{GN}{DECAYED}{decay:g}", question="F13", weight_decay=decay)
        for decay in (1e-3, 1e-2)
    )


def output_hessian(setting: Setting) -> tuple[Arm, ...]:
    """Q7: the true output Hessian instead of the identity, damped, tuned by itself."""
    optimiser = replace(_optimiser(GN), curvature="softmax", curvature_damping=GGN_DAMPING)
    arm = setting.tuned(GN)
    return (
        replace(
            arm,
            name=GGN,
            phases=(Phase(optimiser, setting.epochs),),
            question="Q7",
            compared_with=GN,
        ),
    )


def sizes(setting: Setting, hidden: Sequence[int], batches: Sequence[int]) -> tuple[Arm, ...]:
    """Q8: width of the bottleneck and size of the batch, about the boundary of full rank."""
    return (
        *(
            setting.of_network(f"GN, hidden {width}", GN, "Q8", hidden=width) for width in hidden
        ),
        *(
            replace(setting.changed(f"{of}, batch {size}", of, "Q8"), batch_size=size)
            for size in batches
            for of in (GN, ADAM)
        ),
    )  # fmt: skip


def beginnings(setting: Setting) -> tuple[Arm, ...]:
    """Q9 and figure 8: scale of the weights at the beginning."""
    scales: tuple[float | Literal["xavier"], ...] = (1e-6, 1e-2, "xavier")
    return tuple(
        setting.of_network(f"{of}{INITIAL}{scale}", of, "Q9", init_std=scale)
        for scale in scales
        for of in (GN, ADAM)
    )


def switches(setting: Setting, at: int, after: int) -> tuple[Arm, ...]:
    """Q10 and figure 7: another optimiser goes on after some epochs.

    Args:
        setting: What the arms share.
        at: Epochs before the switch.
        after: Epochs after it.
    """
    return tuple(
        Arm(
            f"{first} then {second}",
            (Phase(_optimiser(first), at), Phase(_optimiser(second), after)),
            setting.network, setting.batch_size, rates_of=(first, second), question="Q10",
            compared_with=f"{first} then {first}",
        )
        for first in (GN, ADAM)
        for second in (GN, ADAM)
    )  # fmt: skip


def linear_first_block(setting: Setting) -> tuple[Arm, ...]:
    """Q11: the released code's first block, which has no activation."""
    return (
        setting.of_network(LINEAR_FIRST_BLOCK, GN, "Q11", first_activation="identity"),
    )  # fmt: skip


def gauss_seidel(setting: Setting) -> tuple[Arm, ...]:
    """Q13: half-layers one after the other, each with the features that the last left."""
    return (setting.changed(GAUSS_SEIDEL, question="Q13", scheme="gauss_seidel"),)


def no_bottleneck(setting: Setting, names: Sequence[str] = (GN, SGD, ADAM)) -> tuple[Arm, ...]:
    """Figure 5: half-layers without frozen projections, tuned by themselves."""
    network = replace(setting.network, hidden=None)
    return tuple(
        replace(
            setting.tuned(name),
            name=name + NO_BOTTLENECK,
            network=network,
            question="F5",
            compared_with=name,
        )
        for name in names
    )


def augmented(setting: Setting, names: Sequence[str] = (GN, ADAM)) -> tuple[Arm, ...]:
    """Q2: images cropped at random."""
    return tuple(
        replace(setting.changed(name + AUGMENTED, name, "Q2"), augment=True) for name in names
    )


def long_runs(
    setting: Setting, times: int, names: Sequence[str] = (GN, SGD, ADAM)
) -> tuple[Arm, ...]:
    """Figure 6: many times as many epochs."""
    return tuple(
        replace(
            setting.changed(name + LONG, name, "F6"),
            phases=(Phase(_optimiser(name), setting.epochs * times),),
        )
        for name in names
    )


def _optimiser(name: str) -> OptimiserOptions:
    regularised = TIKHONOV if name == MIN_NORM else PseudoInverse()
    return OptimiserOptions(NAMES[name], learning_rate=0.0, pseudo_inverse=regularised)
