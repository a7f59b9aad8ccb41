"""Typed configuration of one experiment: everything that its outcome depends on but the data."""

from dataclasses import dataclass, field
from typing import Literal

from gn_study.activations import ActivationName
from gn_study.direction import LayerWeights
from gn_study.pseudo_inverse import PseudoInverse

OptimiserName = Literal["gn", "min_norm_gn", "sgd", "momentum", "adam"]
PartName = Literal["train", "validation", "test"]
OPTIMISERS: tuple[OptimiserName, ...] = ("gn", "min_norm_gn", "sgd", "momentum", "adam")


@dataclass(frozen=True)
class NetworkOptions:
    """A `RevMLP` as wide as the data's inputs; the defaults are the paper's for MNIST.

    Attributes:
        num_blocks: Coupling blocks, two half-layers each.
        hidden: Width of the inverted bottleneck; None: there is none (the paper's section 5.3).
        activation: Of every half-layer.
        first_activation: Of the first block alone; the released code has `identity` there.
        bias: Whether half-layers have one.
        init_std: Standard deviation of the trained weights at the beginning, or Xavier's.
    """

    num_blocks: int = 2
    hidden: int | None = 8000
    activation: ActivationName = "relu"
    first_activation: ActivationName | None = None
    bias: bool = True
    init_std: float | Literal["xavier"] = 1e-3


@dataclass(frozen=True)
class OptimiserOptions:
    """An optimiser and its options; those that it does not have are ignored.

    Attributes:
        name: `gn` is the paper's inverse, `min_norm_gn` the Moore-Penrose step.
        learning_rate: The paper's alpha for the Gauss-Newton kinds (a step in function space, of
            the loss summed over the batch), of the mean loss for the others.
        momentum: Of `momentum` alone.
        weight_decay: Added to the direction, decoupled from any inverse.
        pseudo_inverse: How singular values are regularised (Gauss-Newton kinds).
        layer_weights: How blocks share the step (`gn`).
        cross_term: False: the first published version, which is no right inverse (`gn`).
        scheme: All blocks at once, or one after the other (`gn`).
        curvature: `softmax`: the output Hessian; `identity`: the paper's choice for cross-entropy.
        curvature_damping: Added to the output Hessian's diagonal.
    """

    name: OptimiserName
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    pseudo_inverse: PseudoInverse = field(default_factory=PseudoInverse)
    layer_weights: LayerWeights = "mean"
    cross_term: bool = True
    scheme: Literal["simultaneous", "gauss_seidel"] = "simultaneous"
    curvature: Literal["identity", "softmax"] = "identity"
    curvature_damping: float = 0.0


@dataclass(frozen=True)
class Phase:
    """Some epochs with one optimiser; several phases follow each other on the same network.

    Attributes:
        optimiser: A new one, without memory of the phase before.
        epochs: Passes over the training part.
    """

    optimiser: OptimiserOptions
    epochs: int


@dataclass(frozen=True)
class MeasuringOptions:
    """What is measured during training, and how often.

    Attributes:
        steps_every: Every how many updates the three losses are taken before and after; 0: never.
        kernel_samples: Probe samples of the tangent kernel, from the validation part; 0: none.
        kernel_every: Every how many epochs the kernel is taken.
        estimator_probes: Random probes of the stochastic estimate beside the exact kernel; 0: none.
        representation_samples: Probe samples of CKA, from the validation part; 0: none.
        held_out_samples: Validation samples of the held-out change per update.
        parts: Parts of the data whose loss and accuracy are taken after every epoch.
    """

    steps_every: int = 10
    kernel_samples: int = 64
    kernel_every: int = 1
    estimator_probes: int = 0
    representation_samples: int = 256
    held_out_samples: int = 256
    parts: tuple[PartName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Experiment:
    """One training run on given data.

    Attributes:
        network: What is trained.
        phases: Optimisers, one after the other.
        batch_size: Samples of an update; None: the whole training part (full batch).
        augment: Whether batches of images are cropped at random and resized (`augmentation`).
        measuring: What is recorded.
        seed: From which all seeds are derived, see `seeds.Seeds`.
    """

    network: NetworkOptions
    phases: tuple[Phase, ...]
    batch_size: int | None
    augment: bool = False
    measuring: MeasuringOptions = field(default_factory=MeasuringOptions)
    seed: int = 0

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)
