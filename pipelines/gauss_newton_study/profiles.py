"""The suites of each profile: what is run, how large, how often."""

from dataclasses import replace
from typing import Literal

from gn_study.studies.configuration import MeasuringOptions, NetworkOptions
from pipelines.gauss_newton_study.arms import (
    ADAM,
    GN,
    MIN_NORM,
    SGD,
    Setting,
    augmented,
    beginnings,
    gauss_seidel,
    inverses,
    linear_first_block,
    long_runs,
    no_bottleneck,
    output_hessian,
    regularisations,
    rivals,
    sizes,
    slower,
    switches,
    truncations,
    weight_decays,
)
from pipelines.gauss_newton_study.data_options import DataOptions, ImageName
from pipelines.gauss_newton_study.suites import Arm, Suite

ProfileName = Literal["smoke", "cpu", "paper"]

FINE_CUTOFF = 1e-3
"""On MNIST at the paper's size its cut-off, 1e-2, keeps about 460 of 1024 singular values and
leaves .65 of a random error where it was; this one keeps them all, so that the step is exact."""


def suites_of(profile: ProfileName) -> tuple[Suite, ...]:
    """All suites of a profile, in the order in which they are run."""
    match profile:
        case "smoke":
            return _smoke()
        case "cpu":
            return _cpu()
        case "paper":
            return _paper()


def _smoke() -> tuple[Suite, ...]:
    network = NetworkOptions(num_blocks=2, hidden=128)
    full, mini = Setting(network, None, 15), Setting(network, 32, 3)
    measuring = MeasuringOptions(steps_every=2, kernel_samples=16, representation_samples=64)
    reduced = "far smaller than the paper's, to see that the study works"
    return (
        Suite(
            "digits-full-batch", DataOptions("digits", 48, 128, 256), rivals(full), 3, 15,
            measuring, reduced,
        ),
        Suite(
            "digits-mini-batch", DataOptions("digits", 512, 128, 256), rivals(mini), 3, 2,
            measuring, reduced, ("learning_curves", "kernel_and_features"),
        ),
        Suite(
            "teacher-mini-batch", DataOptions("teacher", 512, 128, 512),
            (*rivals(mini), *inverses(mini), *gauss_seidel(mini)), 3, 2, measuring, reduced,
            ("final_losses", "update_effects"),
        ),
    )  # fmt: skip


def _cpu() -> tuple[Suite, ...]:
    return (
        *_cpu_images("mnist", pooling=1, num_blocks=2),
        *_cpu_images("cifar10", pooling=2, num_blocks=3),
        *_cpu_returns(),
        *_cpu_ablations(),
        *_cpu_regression("wine", DataOptions("wine", 106, 36, 36), 32),
        *_cpu_regression(
            "superconductivity", DataOptions("superconductivity", 4096, 1024, 4096), 64
        ),
    )


def _cpu_images(name: ImageName, pooling: int, num_blocks: int) -> tuple[Suite, ...]:
    """As many batches an epoch, and as wide a bottleneck for a batch, as in the paper."""
    network = NetworkOptions(num_blocks, hidden=512)
    full, mini = Setting(network, None, 40), Setting(network, 64, 10)
    pooled = f", images pooled {pooling} x {pooling}" if pooling > 1 else ""
    reduced = f"hidden 512 instead of 8000{pooled}"
    return (
        Suite(
            f"{name}-full-batch",
            DataOptions(name, 128, 512, 1024, pooling=pooling),
            (*rivals(full), *truncations(full, FINE_CUTOFF)), 3, 40,
            MeasuringOptions(steps_every=2, kernel_every=4),
            f"{reduced}; 128 training images instead of 1024; 40 epochs instead of 100",
        ),
        Suite(
            f"{name}-mini-batch",
            DataOptions(name, 4096, 1024, 2048, pooling=pooling),
            (*rivals(mini), *inverses(mini)[:3], *truncations(mini, FINE_CUTOFF)),
            3, 3, MeasuringOptions(estimator_probes=8),
            f"{reduced}; 4096 training images in batches of 64 instead of 60,000 or 50,000 in "
            "batches of 1024; 10 epochs instead of 100",
            ("learning_curves", "update_effects", "kernel_and_features"),
        ),
    )  # fmt: skip


def _cpu_returns() -> tuple[Suite, ...]:
    network = NetworkOptions(num_blocks=2, hidden=512)
    full, mini = Setting(network, None, 40), Setting(network, 128, 12)
    return (
        Suite(
            "returns-full-batch", DataOptions("returns", 256, 512, 1024), rivals(full), 3, 40,
            MeasuringOptions(steps_every=2, kernel_every=4), "not in the paper; hidden 512",
        ),
        Suite(
            "returns-mini-batch", DataOptions("returns", 8192, 2048, 4096),
            (*rivals(mini), *inverses(mini)[:2]), 3, 4, MeasuringOptions(),
            "not in the paper; hidden 512", ("learning_curves", "update_effects"),
        ),
    )  # fmt: skip


def _cpu_ablations() -> tuple[Suite, ...]:
    """Every ablation on the generated task, where a run takes seconds."""
    network = NetworkOptions(num_blocks=3, hidden=512)
    setting = Setting(network, 64, 12)
    measuring = MeasuringOptions(steps_every=8)
    reduced = "not in the paper; 64 inputs, hidden 512, batches of 64"
    noisy = DataOptions("teacher", 2048, 512, 2048, label_noise=0.2)
    rest = (GN, MIN_NORM, SGD, ADAM)
    return (
        Suite(
            "teacher-mini-batch", DataOptions("teacher", 2048, 512, 2048),
            (*rivals(setting), *_ablations(setting)), 5, 12, measuring, reduced,
            ("final_losses", "update_effects"),
        ),
        Suite(
            "noisy-teacher-mini-batch", noisy, (*rivals(setting), *inverses(setting)[:1]), 5, 12,
            measuring, reduced,
        ),
        Suite(
            "digits-mini-batch", DataOptions("digits", 1152, 285, 360),
            (*rivals(setting, rest), *inverses(setting)[:1]), 5, 12, measuring, reduced,
        ),
        Suite(
            "noisy-digits-mini-batch", DataOptions("digits", 1152, 285, 360, label_noise=0.2),
            (*rivals(setting, rest), *inverses(setting)[:1]), 5, 12, measuring, reduced,
        ),
    )  # fmt: skip


def _ablations(setting: Setting) -> tuple[Arm, ...]:
    """All inverses with the suite's seeds, everything else with three."""
    others = (
        *regularisations(setting),
        *slower(setting),
        *weight_decays(setting),
        *output_hessian(setting),
        *sizes(setting, hidden=(32, 64, 128), batches=(16, 256)),
        *beginnings(setting),
        *switches(setting, at=setting.epochs // 2, after=setting.epochs),
        *linear_first_block(setting),
        *gauss_seidel(setting),
        *no_bottleneck(setting),
        *long_runs(setting, times=5),
    )
    return (*inverses(setting), *(replace(arm, seeds=3) for arm in others))


def _cpu_regression(name: str, data: DataOptions, batch: int) -> tuple[Suite, ...]:
    """Figure 15: full batch and mini-batch of the regressions."""
    network = NetworkOptions(num_blocks=2, hidden=512)
    measuring = MeasuringOptions(steps_every=2)
    reduced = "hidden 512 instead of 8000; the paper gives no configuration of its regressions"
    full = DataOptions(data.name, 106, data.validation, data.test)
    return (
        Suite(
            f"{name}-full-batch", full, rivals(Setting(network, None, 60)), 3, 60, measuring,
            reduced,
        ),
        Suite(
            f"{name}-mini-batch", data, rivals(Setting(network, batch, 30)), 3, 30, measuring,
            reduced,
        ),
    )  # fmt: skip


def _paper() -> tuple[Suite, ...]:
    """The paper's sizes, on a GPU; what it leaves open is as in the released configurations."""
    mnist = NetworkOptions(num_blocks=2, hidden=8000)
    cifar = NetworkOptions(num_blocks=6, hidden=8000)
    suites: list[Suite] = []
    networks: dict[ImageName, NetworkOptions] = {"mnist": mnist, "cifar10": cifar}
    for name, network in networks.items():
        full, mini = Setting(network, None, 100), Setting(network, 1024, 100)
        suites += [
            Suite(
                f"{name}-full-batch", DataOptions(name, 1024, 5000), rivals(full), 3, 100,
                MeasuringOptions(steps_every=2, kernel_every=5),
            ),
            Suite(
                f"{name}-mini-batch", DataOptions(name, None, 5000),
                (*rivals(mini), *inverses(mini)), 3, 10, MeasuringOptions(estimator_probes=100),
                plots=("learning_curves", "update_effects", "kernel_and_features"),
            ),
        ]  # fmt: skip
    mini = Setting(cifar, 1024, 100)
    names = (GN, SGD, ADAM)
    ablations = (
        *rivals(mini, names),
        *regularisations(mini),
        *slower(mini),
        *weight_decays(mini),
        *output_hessian(mini),
        *beginnings(mini),
        *switches(mini, at=50, after=1000),
        *linear_first_block(mini),
        *no_bottleneck(mini),
        *augmented(mini),
        *long_runs(mini, times=10),
    )
    suites.append(
        Suite(
            "cifar10-ablations", DataOptions("cifar10", None, 5000), ablations, 3, 10,
            MeasuringOptions(steps_every=49, kernel_every=5), plots=("final_losses",),
        )
    )  # fmt: skip
    returns = Setting(mnist, 1024, 100)
    suites.append(
        Suite(
            "returns-mini-batch", DataOptions("returns", None, 5000), rivals(returns), 3, 10,
            MeasuringOptions(),
        )
    )  # fmt: skip
    return (*suites, *_cpu_ablations(), *_paper_regressions())


def _paper_regressions() -> tuple[Suite, ...]:
    return (
        *_cpu_regression("wine", DataOptions("wine", 106, 36, 36), 32),
        *_cpu_regression(
            "superconductivity", DataOptions("superconductivity", 15_000, 2_000, 4_263), 1024
        ),
    )
