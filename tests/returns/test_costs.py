from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from returns.costs import LINES, Costs
from returns.evaluation import SAVING_TITLE, comparison_table, evaluate
from returns.metrics import ScoredEvents
from returns.protocol import Protocol
from returns.saving_curve import saving_by_threshold, saving_curve

EXAMPLE = Costs(
    margin=12.0,
    return_cost=8.0,
    intervention_cost=0.5,
    returns_kept=0.1,
    returns_not_ordered=0.2,
    sales_lost=0.05,
)

shares = st.floats(0, 0.5)
amounts = st.floats(0.01, 100)


@st.composite
def some_costs(draw: st.DrawFn) -> Costs:
    plain = Costs(
        margin=draw(amounts),
        return_cost=draw(amounts),
        intervention_cost=0.0,
        returns_kept=draw(shares),
        returns_not_ordered=draw(st.floats(0.01, 0.5)),
        sales_lost=draw(shares),
    )
    return replace(plain, intervention_cost=draw(st.floats(0, 1)) * plain.saved_on_return)


def value(costs: Costs, returned: bool, intervened: bool) -> float:
    """Value of a line by the tree of what can come of it, apart from the formula under test."""
    sale, back = costs.margin, -costs.return_cost
    if not intervened:
        return back if returned else sale
    if returned:
        still = 1 - costs.returns_kept - costs.returns_not_ordered
        return costs.returns_kept * sale + still * back - costs.intervention_cost
    return (1 - costs.sales_lost) * sale - costs.intervention_cost


@given(costs=some_costs(), returned=st.booleans(), intervened=st.booleans())
def test_a_saving_is_the_difference_to_doing_nothing(
    costs: Costs, returned: bool, intervened: bool
) -> None:
    expected = value(costs, returned, intervened) - value(costs, returned, False)
    (saved,) = costs.saving(np.array([int(returned)]), np.array([intervened]))
    assert saved == pytest.approx(expected, abs=1e-9)


@given(costs=some_costs(), probability=st.floats(0, 1))
def test_intervening_pays_exactly_from_the_threshold_on(costs: Costs, probability: float) -> None:
    (saved,) = costs.saving(np.array([probability]), np.array([True]))
    if probability > costs.threshold + 1e-9:
        assert saved > -1e-9
    elif probability < costs.threshold - 1e-9:
        assert saved < 1e-9
    (at_threshold,) = costs.saving(np.array([costs.threshold]), np.array([True]))
    assert at_threshold == pytest.approx(0, abs=1e-9)


def test_impossible_costs_are_refused_all_at_once() -> None:
    with pytest.raises(ValueError, match=r"margin is -1, .*; sales_lost is 1\.5, .*"):
        replace(EXAMPLE, margin=-1.0, sales_lost=1.5)
    with pytest.raises(ValueError, match="together must be at most 1"):
        replace(EXAMPLE, returns_kept=0.6, returns_not_ordered=0.5)
    with pytest.raises(ValueError, match=r"below what an intervention saves .* 3\.6 EUR"):
        replace(EXAMPLE, intervention_cost=3.7)
    with pytest.raises(ValueError, match="return_cost is nan"):
        replace(EXAMPLE, return_cost=float("nan"))


def synthetic_events(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    probabilities = random.beta(2, 2, 4000).round(3)
    labels = (random.random(4000) < probabilities).astype(np.int8)
    return labels, probabilities, np.repeat(np.arange(1000), 4)


def test_the_report_tells_the_money_with_its_interval() -> None:
    labels, probabilities, customers = synthetic_events(0)
    report = evaluate(labels, probabilities, EXAMPLE.threshold, customers, costs=EXAMPLE)
    found = report.overall.metrics
    decided = probabilities >= EXAMPLE.threshold
    by_hand = [
        value(EXAMPLE, label == 1, chosen) - value(EXAMPLE, label == 1, False)
        for label, chosen in zip(labels, decided, strict=True)
    ]
    assert found["saving"].value == pytest.approx(LINES * np.mean(by_hand))
    assert found["saving"].low < found["saving"].value < found["saving"].high
    assert found["saving"].value < found["largest_saving"].value
    # The labels were drawn with these very probabilities, so the promise holds but for chance.
    assert found["saving"].low < found["expected_saving"].value < found["saving"].high
    table = comparison_table({"model": report})
    assert table.loc["model", SAVING_TITLE] == found["saving"].value


def test_without_costs_there_is_no_money() -> None:
    labels, probabilities, customers = synthetic_events(1)
    report = evaluate(labels, probabilities, 0.5, customers, replicates=20)
    assert "saving" not in report.overall.metrics
    assert SAVING_TITLE not in comparison_table({"model": report})


def test_every_threshold_saves_what_its_decisions_save() -> None:
    labels, probabilities, _ = synthetic_events(2)
    thresholds, saving = saving_by_threshold(labels, probabilities, EXAMPLE)
    assert len(thresholds) == len(np.unique(probabilities)) + 1
    for place in (0, 1, 400, len(thresholds) - 1):
        decided = ScoredEvents.of(labels, probabilities, thresholds[place], costs=EXAMPLE).metrics()
        assert saving[place] == pytest.approx(decided["saving"], abs=1e-9)


def test_calibrated_probabilities_save_most_near_the_threshold_of_the_costs() -> None:
    labels, probabilities, _ = synthetic_events(3)
    thresholds, saving = saving_by_threshold(labels, probabilities, EXAMPLE)
    chosen = ScoredEvents.of(labels, probabilities, EXAMPLE.threshold, costs=EXAMPLE).metrics()
    assert chosen["saving"] >= 0.97 * saving.max()
    assert abs(thresholds[saving.argmax()] - EXAMPLE.threshold) < 0.15


def test_the_curve_marks_the_chosen_saving() -> None:
    labels, probabilities, _ = synthetic_events(4)
    figure = saving_curve(labels, probabilities, EXAMPLE, "gnn", Protocol.STRICT, "synthetic")
    (axes,) = figure.axes
    chosen = ScoredEvents.of(labels, probabilities, EXAMPLE.threshold, costs=EXAMPLE).metrics()
    (marker,) = (line for line in axes.lines if line.get_marker() == "D")
    assert marker.get_xdata()[0] == EXAMPLE.threshold
    assert marker.get_ydata()[0] == pytest.approx(chosen["saving"])
    assert "strict protocol, synthetic" in axes.get_title()


@pytest.mark.parametrize("highest", [0.05, 0.25])
def test_a_threshold_above_every_probability_saves_nothing(highest: float) -> None:
    labels, probabilities, _ = synthetic_events(5)
    assert highest < EXAMPLE.threshold
    figure = saving_curve(
        labels, probabilities * highest, EXAMPLE, "gnn", Protocol.STRICT, "synthetic"
    )
    (marker,) = (line for line in figure.axes[0].lines if line.get_marker() == "D")
    assert marker.get_ydata()[0] == 0.0
    assert str(marker.get_label()).endswith(":  0")
