"""Figures of a suite that ran: the right panels, the runs' own values."""

import numpy as np
import pytest

from pipelines.gauss_newton_study.arms import ADAM, GN, SGD
from pipelines.gauss_newton_study.figures import (
    final_losses,
    kernel_and_features,
    learning_curves,
    pairwise_features,
    suite_figures,
    update_effects,
)
from pipelines.gauss_newton_study.suite_result import SuiteResult, at_end
from pipelines.gauss_newton_study.suites import Suite


@pytest.fixture
def result(finished: tuple[SuiteResult, SuiteResult]) -> SuiteResult:
    return finished[1]


def test_every_figure_shows_what_the_runs_recorded(result: SuiteResult) -> None:
    figures = suite_figures(result)
    assert set(figures) == {
        "learning_curves", "update_effects", "weights", "kernel_and_features", "pairwise_cka",
        "init",
    }  # fmt: skip

    curves = learning_curves(result)
    titles = [axes.get_ylabel() for axes in curves.axes]
    assert titles == ["Training loss", "Test loss", "Training accuracy", "Test accuracy"]
    lines = {line.get_label(): line for line in curves.axes[1].get_lines()}
    assert set(lines) == {GN, SGD, ADAM}
    expected = np.mean([run.epochs["test_loss"] for run in result.runs[GN]], axis=0)
    np.testing.assert_allclose(lines[GN].get_ydata(), expected)

    effects = update_effects(result)
    assert [axes.get_title() for axes in effects.axes] == [
        "Same batch", "Another batch", "Held-out samples",
    ]  # fmt: skip
    kernel = kernel_and_features(result)
    assert "CKA, block 1" in [axes.get_ylabel() for axes in kernel.axes]


def test_cka_of_an_optimiser_with_itself_is_between_seeds(result: SuiteResult) -> None:
    image = pairwise_features(result).axes[0].get_images()[0].get_array()
    assert image is not None and image.shape == (3, 3)
    np.testing.assert_allclose(image, image.T, atol=1e-6)
    assert image[0, 0] < 1


def test_final_losses_of_all_arms(result: SuiteResult) -> None:
    figure = final_losses(result, list(result.runs), "all arms")
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["GN, init 0.01", ADAM, SGD, GN]
    top = figure.axes[0].get_lines()[-1].get_xdata()
    assert len(result.per_seed(GN, at_end("test_loss"))) == 2
    assert np.all(np.isfinite(np.asarray(top, dtype=float)))


def test_no_runs_no_figures(suite: Suite) -> None:
    assert suite_figures(SuiteResult(suite, {}, {}, {})) == {}
