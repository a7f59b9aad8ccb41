"""The pruning methods that the studies compare, each with the settings that are tried for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

from compression.curvature import Curvature
from compression.exact import ExactlyCompensated
from compression.greedy import GreedyByRow
from compression.joint import JointSelection
from compression.learning import LearnedInverse
from compression.likelihoods import Likelihood, Tempered
from compression.rivals.block import BlockFisher
from compression.rivals.diagonal import DiagonalFisher
from compression.rivals.layerwise import LayerwiseHessian
from compression.rivals.low_rank import LowRankFisher
from compression.rivals.magnitude import Magnitude
from compression.selection import RankAndCompensate, Solver
from compression.sweep import SweepByColumn


@dataclass(frozen=True)
class Setting:
    """What is tuned of a method.

    Attributes:
        damping: Added to the diagonal of the curvature.
        num_gradients: Gradients that curvature is estimated from; the exact Fisher matrix of the
            joint methods covers as many examples as all of them together.
        group: Examples whose mean is one gradient.
        temperature: What outputs are divided by where curvature is taken; see
            `compression.likelihoods.Tempered`.
        steps: In which an inverse is learned.
    """

    damping: float = 1e-3
    num_gradients: int = 1000
    group: int = 16
    temperature: float = 1.0
    steps: int = 1500

    @property
    def num_examples(self) -> int:
        """Examples that curvature is estimated from."""
        return self.num_gradients * self.group

    def num_batches(self, batch_size: int) -> int:
        """Batches that hold as many."""
        return -(-self.num_examples // batch_size)

    def tempered(self, likelihood: Likelihood) -> Likelihood:
        """The likelihood at the setting's temperature."""
        return likelihood if self.temperature == 1 else Tempered(likelihood, self.temperature)


@dataclass(frozen=True)
class Grid:
    """Values that are tried in every combination.

    Attributes:
        dampings: Of every method that has any, but for those below.
        layer_dampings: Of methods that look at a layer's outputs, whose squares are in other units
            than the loss; as many.
        samples: Pairs of a number of gradients and the examples of each.
        exact_samples: The same for exact Fisher matrices, of which only the product counts.
        temperatures: Of tempered methods, which try no other sample than the last, so that all
            methods have as many settings; 1 leaves the network as it is.
        steps: In which an inverse is learned that weights are ranked by.
        metric_steps: The same where it is no more than the metric of a joint selection.
    """

    dampings: tuple[float, ...]
    samples: tuple[tuple[int, int], ...]
    exact_samples: tuple[tuple[int, int], ...]
    temperatures: tuple[float, ...]
    steps: int = 1500
    metric_steps: int = 300
    layer_dampings: tuple[float, ...] = ()

    def gradient_settings(self) -> tuple[Setting, ...]:
        """Settings of methods that estimate from gradients."""
        return tuple(Setting(d, *s) for s, d in product(self.samples, self.dampings))

    def layer_settings(self) -> tuple[Setting, ...]:
        """Settings of methods that look at layers' outputs."""
        dampings = self.layer_dampings or self.dampings
        return tuple(Setting(d, *s) for s, d in product(self.exact_samples, dampings))

    def learned_settings(self) -> tuple[Setting, ...]:
        """Settings of methods that rank by a learned inverse."""
        sample = self.exact_samples[-1]
        return tuple(
            Setting(d, *sample, temperature=t, steps=self.steps)
            for t, d in product(self.temperatures, self.dampings)
        )

    def joint_settings(self) -> tuple[Setting, ...]:
        """Settings of joint methods with the exact Fisher matrix."""
        return tuple(
            Setting(d, *s, steps=self.metric_steps)
            for s, d in product(self.exact_samples, self.dampings)
        )

    def tempered_settings(self) -> tuple[Setting, ...]:
        """Settings of joint methods with the exact Fisher matrix of a tempered network."""
        sample = self.exact_samples[-1]
        return tuple(
            Setting(d, *sample, temperature=t, steps=self.metric_steps)
            for t, d in product(self.temperatures, self.dampings)
        )

    def only_setting(self) -> tuple[Setting, ...]:
        """The setting of a method without any choice."""
        return (Setting(self.dampings[0], *self.samples[0]),)


@dataclass(frozen=True)
class Method:
    """One way to prune.

    Attributes:
        sentence: What it does, for tables.
        curvature: Estimate for a setting and the batch size of the loader.
        solver: For a setting.
        settings: What is tried of a grid.
    """

    sentence: str
    curvature: Callable[[Setting, int], Curvature]
    solver: Callable[[Setting], Solver]
    settings: Callable[[Grid], tuple[Setting, ...]]


def _gradients(
    make: Callable[..., Curvature], **options: bool
) -> Callable[[Setting, int], Curvature]:
    def curvature(setting: Setting, batch_size: int) -> Curvature:
        return make(num_gradients=setting.num_gradients, group=setting.group, **options)

    return curvature


def _learned(setting: Setting, batch_size: int) -> Curvature:
    return LearnedInverse(
        "kronecker",
        setting.steps,
        refine_steps=max(1, setting.steps // 10),
        forward_batches=setting.num_batches(batch_size),
    )


def _learned_briefly(family: str) -> Callable[[Setting, int], Curvature]:
    """For networks whose steps are dear: it begins at second moments and is not far off there."""

    def curvature(setting: Setting, batch_size: int) -> Curvature:
        return LearnedInverse(
            family,
            setting.steps,
            refine_steps=2 * setting.steps,
            warmup_batches=setting.num_batches(batch_size),
        )

    return curvature


def _layerwise(setting: Setting, batch_size: int) -> Curvature:
    return LayerwiseHessian(setting.num_batches(batch_size))


def _ranked(setting: Setting) -> Solver:
    return RankAndCompensate()


def _greedy(setting: Setting) -> Solver:
    return GreedyByRow()


def _exact(setting: Setting) -> Solver:
    return ExactlyCompensated(GreedyByRow())


def _exact_first_order(setting: Setting) -> Solver:
    return ExactlyCompensated(GreedyByRow(), first_order=True)


def _swept(setting: Setting) -> Solver:
    return SweepByColumn()


def _joint(setting: Setting) -> Solver:
    return JointSelection()


def _joint_first_order(setting: Setting) -> Solver:
    return JointSelection(first_order=1.0)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "magnitude": Method(
            "largest weights stay, nothing else changes",
            lambda setting, batch_size: Magnitude(),
            lambda setting: RankAndCompensate("none"),
            Grid.only_setting,
        ),
        "diagonal_fisher": Method(
            "Optimal Brain Damage: diagonal of the empirical Fisher",
            _gradients(DiagonalFisher),
            _ranked,
            Grid.gradient_settings,
        ),
        "block_fisher": Method(
            "oBERT: blocks of 50 of the empirical Fisher, exact group update",
            _gradients(BlockFisher),
            _ranked,
            Grid.gradient_settings,
        ),
        "woodfisher": Method(
            "WoodFisher: full layers of the empirical Fisher, exact group update",
            _gradients(LowRankFisher, by_layer=True),
            _ranked,
            Grid.gradient_settings,
        ),
        "mfac": Method(
            "M-FAC: the whole empirical Fisher as few gradients, exact group update",
            _gradients(LowRankFisher),
            _ranked,
            Grid.gradient_settings,
        ),
        "obc": Method(
            "OBC: each layer's outputs by least squares, greedy by rows",
            _layerwise,
            _greedy,
            Grid.layer_settings,
        ),
        "sparsegpt": Method(
            "SparseGPT: each layer's outputs by least squares, a sweep over its inputs",
            _layerwise,
            _swept,
            Grid.layer_settings,
        ),
        "chita": Method(
            "CHITA: joint selection on the quadratic of few gradients",
            _gradients(LowRankFisher),
            _joint,
            Grid.gradient_settings,
        ),
        "chita_first_order": Method(
            "CHITA with the gradient of the loss",
            _gradients(LowRankFisher),
            lambda setting: JointSelection(first_order=1 / setting.group),
            Grid.gradient_settings,
        ),
        "fishleg": Method(
            "FishLeg: learned Kronecker inverse of the tempered network, exact group update",
            _learned,
            _ranked,
            Grid.learned_settings,
        ),
        "fishleg_three_factor": Method(
            "FishLeg: learned inverse of three Kronecker factors, exact group update",
            _learned_briefly("three_factor"),
            _ranked,
            Grid.learned_settings,
        ),
        "fishleg_three_factor_sweep": Method(
            "FishLeg: a sweep over each layer's inputs on that inverse",
            _learned_briefly("three_factor"),
            _swept,
            Grid.learned_settings,
        ),
        "fishleg_sweep": Method(
            "FishLeg: a sweep over each layer's inputs on the learned Kronecker inverse",
            _learned_briefly("kronecker"),
            _swept,
            Grid.learned_settings,
        ),
        "fishleg_greedy": Method(
            "FishLeg: greedy by rows on the learned inverse of the tempered network",
            _learned,
            _greedy,
            Grid.tempered_settings,
        ),
        "fishleg_exact": Method(
            "FishLeg: greedy by rows on the learned inverse, then the exact Fisher compensates",
            _learned,
            _exact,
            Grid.joint_settings,
        ),
        "fishleg_exact_first_order": Method(
            "the same with the gradient of the loss",
            _learned,
            _exact_first_order,
            Grid.joint_settings,
        ),
        "fishleg_joint": Method(
            "FishLeg: joint selection on the exact Fisher, learned inverse as metric",
            _learned,
            _joint,
            Grid.joint_settings,
        ),
        "fishleg_joint_first_order": Method(
            "the same with the gradient of the loss",
            _learned,
            _joint_first_order,
            Grid.joint_settings,
        ),
        "fishleg_joint_tempered": Method(
            "FishLeg: joint selection on the Fisher of the tempered network",
            _learned,
            _joint,
            Grid.tempered_settings,
        ),
        "fishleg_joint_tempered_first_order": Method(
            "the same with the gradient of the tempered loss",
            _learned,
            _joint_first_order,
            Grid.tempered_settings,
        ),
    }
)
"""The methods by name."""
