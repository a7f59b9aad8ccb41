import io
import subprocess
import sys
from itertools import islice

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import precision_score, recall_score, roc_curve

from returns import plots
from returns.evaluation import Estimate, evaluate
from returns.figure_style import line_styles
from returns.protocol import Protocol

STRICT, SOURCE = Protocol.STRICT, "twin (synthetic)"
UNDEFINED = Estimate(np.nan, np.nan, np.nan)
TRIALS = np.array([0.65, 0.66, 0.64, 9.0, np.inf, 0.63, 0.65])


def synthetic_scores() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    truth = random.beta(2, 2, 3000)
    labels = (random.random(3000) < truth).astype(np.int8)
    return labels, {"forest": truth, "mlp": truth**2}


def every_figure() -> dict[str, Figure]:
    labels, scores = synthetic_scores()
    customers = np.arange(len(labels)) // 2
    reports = {
        model: evaluate(labels, probabilities, 0.4, customers, replicates=20)
        for model, probabilities in scores.items()
    }
    history = {"validation_cross_entropy": [(1, 0.7), (2, 0.6), (3, 0.65)]}
    one = (labels, scores["mlp"], "mlp", STRICT, SOURCE)
    difference = {"cross_entropy": Estimate(0.01, -0.01, 0.02), "roc_auc": UNDEFINED}
    differences = {"no neighbours": {"all": difference, "new": difference}}
    return {
        "roc": plots.roc_curves(labels, scores, STRICT, SOURCE),
        "precision_recall": plots.precision_recall_curves(labels, scores, STRICT, SOURCE),
        "reliability": plots.reliability_diagram(*one),
        "scores": plots.score_distribution(*one),
        "learning": plots.learning_curve(history, "mlp", STRICT, SOURCE),
        "tuning": plots.optimisation_history(TRIALS, "mlp", STRICT, SOURCE),
        "forest": plots.difference_forest(differences, "gnn", STRICT, SOURCE),
        "comparison": plots.model_comparison(reports, STRICT, SOURCE),
    }


def test_every_figure_names_protocol_and_source_and_renders() -> None:
    for name, figure in every_figure().items():
        titles = [axes.get_title() for axes in figure.axes]
        titles.append(figure.get_suptitle())
        assert any("strict protocol, twin (synthetic)" in title for title in titles), name
        image = io.BytesIO()
        figure.savefig(image, format="png")
        image.seek(0)
        assert matplotlib.image.imread(image).std() > 0.01


def test_roc_points_lie_on_the_exact_curve() -> None:
    labels, scores = synthetic_scores()
    axes = plots.roc_curves(labels, scores, STRICT, SOURCE).axes[0]
    false, true, _ = roc_curve(labels, scores["mlp"], drop_intermediate=False)
    drawn = next(line for line in axes.lines if str(line.get_label()).startswith("mlp"))
    exact = set(zip(false.round(9), true.round(9), strict=True))
    points = np.asarray(drawn.get_xydata())
    assert len(points) > 100
    assert {(x, y) for x, y in points.round(9)} <= exact


def test_precision_and_recall_are_those_of_a_cut() -> None:
    labels, scores = synthetic_scores()
    axes = plots.precision_recall_curves(labels, scores, STRICT, SOURCE).axes[0]
    drawn = next(line for line in axes.lines if str(line.get_label()).startswith("forest"))
    points = np.asarray(drawn.get_xydata())
    decided = scores["forest"] >= 0.5
    at_half = [recall_score(labels, decided), precision_score(labels, decided)]
    assert np.abs(points - at_half).sum(axis=1).min() < 1e-12


def test_the_best_validation_step_is_marked() -> None:
    axes = every_figure()["learning"].axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.6000"]


def test_the_best_trial_so_far_only_falls_and_outliers_stay_at_the_edge() -> None:
    axes = every_figure()["tuning"].axes[0]
    lines = {line.get_label(): np.asarray(line.get_xydata()) for line in axes.lines}
    best = lines["best so far, at last 0.6300"][:, 1]
    np.testing.assert_array_equal(best, [0.65, 0.65, 0.64, 0.64, 0.64, 0.63, 0.63])
    np.testing.assert_array_equal(lines["trial"][:, 0], [0, 1, 2, 5, 6])
    np.testing.assert_array_equal(lines["trial above"][:, 0], [3, 4])
    assert (lines["trial above"][:, 1] == axes.get_ylim()[1]).all()
    assert axes.get_ylim()[1] < 0.68


@pytest.mark.parametrize("losses", [[0.6], [np.inf], [np.inf, 0.6], [0.6, 0.6, np.inf]])
def test_few_or_diverged_trials_still_draw(losses: list[float]) -> None:
    figure = plots.optimisation_history(np.array(losses), "mlp", STRICT, SOURCE)
    figure.canvas.draw()


def test_a_reliability_point_is_mean_probability_and_rate_of_its_bin() -> None:
    labels, scores = synthetic_scores()
    probabilities = scores["mlp"]
    axes = plots.reliability_diagram(labels, probabilities, "mlp", STRICT, SOURCE).axes[0]
    first_bin = probabilities < 1 / 15
    expected = [probabilities[first_bin].mean(), labels[first_bin].mean()]
    drawn = next(line for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_allclose(np.asarray(drawn.get_xydata())[0], expected)


def test_one_class_and_extreme_scores_still_draw() -> None:
    labels = np.ones(60, np.int8)
    probabilities = np.array([0.0, 1.0, 0.5] * 20)
    with np.errstate(invalid="ignore"):
        figures = [
            plots.reliability_diagram(labels, probabilities, "mlp", STRICT, SOURCE),
            plots.score_distribution(labels, probabilities, "mlp", STRICT, SOURCE),
        ]
    for figure in figures:
        figure.canvas.draw()


def test_no_global_plotting_state_is_loaded() -> None:
    code = "import sys, returns.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_thirty_six_lines_are_told_apart():
    looks = {(style["color"], style["linestyle"]) for style in islice(line_styles(), 36)}
    assert len(looks) == 36
