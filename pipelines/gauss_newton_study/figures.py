"""Figures of a suite that correspond to the paper's, mean and range over seeds."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.gauss_newton_study.arms import (
    ADAM,
    DAMPED,
    DECAYED,
    GN,
    INITIAL,
    LONG,
    MIN_NORM,
    NO_BOTTLENECK,
    NOISE,
    RIVALS,
    SLOWER,
    TRUNCATED,
)
from pipelines.gauss_newton_study.intervals import Interval
from pipelines.gauss_newton_study.representations import blockwise_cka
from pipelines.gauss_newton_study.run_store import FinishedRun
from pipelines.gauss_newton_study.suite_result import SuiteResult, at_end
from returns.figure_style import GREY, line_styles, new_figure

SPOKEN = {
    "train_loss": "Training loss",
    "test_loss": "Test loss",
    "train_accuracy": "Training accuracy",
    "test_accuracy": "Test accuracy",
    "ntk_similarity": "Kernel alignment",
    "ntk_velocity": "Kernel's turn an epoch",
    "same": "Same batch",
    "other": "Another batch",
    "held_out": "Held-out samples",
}
SMOOTHED_STEPS = 15
"""Points of a step curve: means of about equally many updates."""


def learning_curves(result: SuiteResult, arms: Sequence[str] = RIVALS) -> Figure:
    """Losses and accuracies over epochs (figures 1, 2, 5, 6, 7, 8, 12, 13, 14 and 15)."""
    columns = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
    figure, axes = _panels(result, (2, 2), (8.0, 6.0), "learning curves")
    for axis, column in zip(axes, columns, strict=True):
        for arm, runs, style in _styled(result, arms):
            _curve(axis, runs, column, arm, style)
        axis.set(xlabel="Epoch", ylabel=_label(column, result))
        if column.endswith("loss"):
            axis.set_yscale("log")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def update_effects(result: SuiteResult, arms: Sequence[str] = RIVALS) -> Figure:
    """Percentage change of three losses by an update (figure 3, and what it leaves out)."""
    columns = [
        column for column in ("same", "other", "held_out") if _is_measured(result, arms, column)
    ]
    figure, axes = _panels(
        result, (1, len(columns)), (3.4 * len(columns), 3.4), "an update's effect"
    )
    for axis, column in zip(axes, columns, strict=True):
        axis.axhline(0, color=GREY, linewidth=1, linestyle=":")
        for arm, runs, style in _styled(result, arms):
            _step_curve(axis, runs, column, arm, style)
        axis.set(xlabel="Epoch", ylabel="Change of the loss by an update [%]")
        axis.set_title(SPOKEN[column], fontsize=9)
        axis.set_yscale("symlog", linthresh=1)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def kernel_and_features(result: SuiteResult, arms: Sequence[str] = RIVALS) -> Figure:
    """Tangent kernel and CKA of each block over epochs (figures 4 and 10)."""
    blocks = _blocks(result, arms)
    columns = ["ntk_velocity", "ntk_similarity", *blocks]
    across = (len(columns) + 1) // 2
    figure, axes = _panels(result, (2, across), (3.2 * across, 5.6), "kernel and features")
    for axis in axes[len(columns) :]:
        axis.set_axis_off()
    for axis, column in zip(axes, columns, strict=False):
        for arm, runs, style in _styled(result, arms):
            _curve(axis, runs, column, arm, style)
        axis.set(xlabel="Epoch", ylabel=_label(column, result))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[1].legend(frameon=False, fontsize=8)
    return figure


def weight_cosines(result: SuiteResult, arms: Sequence[str] = RIVALS) -> Figure:
    """Cosine of each half-layer's weights with their beginning, at the end (figure 9)."""
    found = {arm: result.runs[arm] for arm in arms if result.runs.get(arm)}
    names = sorted(
        {
            name
            for runs in found.values()
            for name in runs[0].epochs
            if name.startswith("weight_cosine.")
        }
    )
    figure, axes = _panels(result, (1, 1), (6.0, 3.6), "weights")
    place = np.arange(len(names))
    for (arm, runs, style), shift in zip(
        _styled(result, arms), np.linspace(-0.3, 0.3, len(found)), strict=True
    ):
        values = np.array([[at_end(name)(run) for name in names] for run in runs])
        axes[0].errorbar(
            place + shift, values.mean(axis=0), values.std(axis=0), marker="o", markersize=4,
            linestyle="none", capsize=2, color=style["color"], label=arm,
        )  # fmt: skip
    labels = [name.removeprefix("weight_cosine.blocks.") for name in names]
    axes[0].set_xticks(place, labels, fontsize=8)
    axes[0].set(xlabel="Half-layer", ylabel="Cosine with the beginning")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def pairwise_features(result: SuiteResult, arms: Sequence[str] = RIVALS) -> Figure:
    """CKA between the last representations of two optimisers, per block (figure 11)."""
    names = [arm for arm in arms if result.runs.get(arm)]
    blocks = len(_blocks(result, names))
    figure, axes = _panels(result, (1, blocks), (3.0 * blocks + 0.6, 3.6), "pairwise CKA")
    for block, axis in enumerate(axes):
        values = np.array(
            [[_mean_cka(result, one, other, block) for other in names] for one in names]
        )
        axis.imshow(values, vmin=0, vmax=1, cmap="cividis")
        for row, column in np.ndindex(values.shape):
            colour = "black" if values[row, column] > 0.6 else "white"
            axis.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center",
                      fontsize=7, color=colour)  # fmt: skip
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=7)
        axis.set_yticks(range(len(names)), names if block == 0 else [""] * len(names), fontsize=7)
        axis.set_title(f"Block {block + 1}", fontsize=9)
    return figure


def final_losses(result: SuiteResult, arms: Sequence[str], title: str) -> Figure:
    """Final test and training loss of arms with 95 % intervals over seeds (the ablations)."""
    names = [arm for arm in arms if result.runs.get(arm)]
    figure, axes = _panels(result, (1, 2), (8.6, 0.28 * len(names) + 1.4), title)
    for axis, column in zip(axes, ("test_loss", "train_loss"), strict=True):
        for row, arm in enumerate(reversed(names)):
            values = result.per_seed(arm, at_end(column))
            if not np.isfinite(values).all():
                axis.annotate(
                    "diverged", (0.5, row), xycoords=("axes fraction", "data"), fontsize=7
                )
                continue
            logs = Interval.over_seeds(np.log(values))
            centre = np.exp(logs.mean)
            reach = np.abs(np.exp([[logs.low], [logs.high]]) - centre)
            reach = np.where(np.isfinite(reach), reach, 0)
            colour = {GN: "#0072B2", ADAM: "#D55E00", MIN_NORM: "#009E73"}.get(arm, "black")
            axis.errorbar(centre, row, xerr=reach, marker="o", markersize=4, capsize=2,
                          color=colour)  # fmt: skip
        axis.set_yticks(range(len(names)), reversed(names) if column == "test_loss" else
                        [""] * len(names), fontsize=8)  # fmt: skip
        axis.set(xlabel=_label(column, result), xscale="log")
        axis.grid(axis="x", alpha=0.3)
    return figure


def suite_figures(result: SuiteResult) -> dict[str, Figure]:
    """All figures that a suite's runs allow, by name."""
    if not result.has(GN):
        return {}
    figures = {
        "learning_curves": learning_curves(result),
        "update_effects": update_effects(result),
        "weights": weight_cosines(result),
    }
    if _blocks(result, [GN]):
        figures["kernel_and_features"] = kernel_and_features(result)
        figures["pairwise_cka"] = pairwise_features(result)
    both = (GN, ADAM)
    families: dict[str, tuple[str, tuple[str, ...]]] = {
        "no_bottleneck": (NO_BOTTLENECK, ()),
        "long": (LONG, ()),
        "switch": (" then ", ()),
        "init": (INITIAL, both),
        "rates": (SLOWER, both),
        "weight_decay": (DECAYED, both),
        "regularisation": (TRUNCATED, (*both, DAMPED, NOISE)),
    }
    for name, (part, beside) in families.items():
        arms = [arm for arm in result.runs if part in arm]
        if arms:
            figures[name] = learning_curves(result, [*beside, *arms])
    if len(result.runs) > len(RIVALS):
        figures["final_losses"] = final_losses(result, list(result.runs), "all arms")
    return figures


def _panels(
    result: SuiteResult, shape: tuple[int, int], size: tuple[float, float], title: str
) -> tuple[Figure, list[Axes]]:
    figure = new_figure(size)
    axes = figure.subplots(*shape, squeeze=False)
    figure.suptitle(f"{result.suite.name}, {result.data_name}: {title}", fontsize=10)
    return figure, list(axes.flat)


def _styled(
    result: SuiteResult, arms: Sequence[str]
) -> Iterator[tuple[str, Sequence[FinishedRun], dict[str, Any]]]:
    """Arms with finished runs, each with the look of its place among all."""
    for arm, style in zip(arms, line_styles(), strict=False):
        runs = [run for run in result.runs.get(arm, ()) if not run.diverged]
        if runs:
            yield arm, runs, style


def _curve(
    axis: Axes, runs: Sequence[FinishedRun], column: str, label: str, style: dict[str, Any]
) -> None:
    """Mean of a column over seeds, its range shaded."""
    values = np.stack([run.epochs[column] for run in runs if column in run.epochs])
    epochs = runs[0].epochs["epoch"]
    known = ~np.isnan(values).any(axis=0)
    axis.plot(epochs[known], values.mean(axis=0)[known], label=label, **style)
    axis.fill_between(
        epochs[known], values.min(axis=0)[known], values.max(axis=0)[known], alpha=0.15,
        color=style["color"], linewidth=0,
    )  # fmt: skip


def _step_curve(
    axis: Axes, runs: Sequence[FinishedRun], column: str, label: str, style: dict[str, Any]
) -> None:
    """Means of a step column over stretches of updates, over all seeds."""
    values = np.stack([run.steps[column] for run in runs if column in run.steps])
    stretches = np.array_split(np.arange(values.shape[1]), min(SMOOTHED_STEPS, values.shape[1]))
    epochs = [runs[0].steps["epoch"][stretch].mean() for stretch in stretches]
    axis.plot(epochs, [np.nanmean(values[:, stretch]) for stretch in stretches], label=label,
              **style)  # fmt: skip


def _is_measured(result: SuiteResult, arms: Sequence[str], column: str) -> bool:
    return any(
        not np.isnan(run.steps.get(column, np.array([np.nan]))).all()
        for arm in arms
        for run in result.runs.get(arm, ())
    )


def _blocks(result: SuiteResult, arms: Sequence[str]) -> list[str]:
    """Columns of CKA, in the order of the blocks."""
    for arm in arms:
        for run in result.runs.get(arm, ()):
            return sorted(name for name in run.epochs if name.startswith("cka."))
    return []


def _mean_cka(result: SuiteResult, one: str, other: str, block: int) -> float:
    """Over seeds; of an optimiser with itself between different seeds."""
    pairs = zip(result.runs[one], result.runs[other], strict=False)
    if one == other:
        pairs = zip(result.runs[one], result.runs[one][1:], strict=False)
    found = [blockwise_cka(first, second) for first, second in pairs]
    values = [blocks[block] for blocks in found if block < len(blocks)]
    return float(np.mean(values)) if values else np.nan


def _label(column: str, result: SuiteResult) -> str:
    if column.startswith("cka."):
        return f"CKA, block {int(column.removeprefix('cka.')) + 1}"
    if column.endswith("accuracy") and result.suite.data.is_regression:
        return SPOKEN[column].replace("accuracy", "R squared")
    return SPOKEN[column]
