import pytest

from pipelines.benchmarks.charts import bars, growth_lines
from pipelines.benchmarks.measurement import CPU, PEAK, ROOFLINE, WALL, Measurement
from pipelines.benchmarks.table import long_table, printed_tables, ratio, remarks, spoken

OWN = Measurement("step", "ours", WALL, (1.0, 2.0, 3.0))
STOCK = Measurement("step", "stock", WALL, (3.0, 8.0, 9.0))
OWN_PEAK = Measurement("step", "ours", PEAK, (0.5,))
STOCK_PEAK = Measurement("step", "stock", PEAK, (2.0,))
BOUND = Measurement("step", ROOFLINE, WALL, (0.5,))
COUNTED = Measurement("step", ROOFLINE, "GFLOP", (88.0,))
OTHER = Measurement("load", "ours", CPU, (1234.0,))
ALL = [OWN, OWN_PEAK, STOCK, STOCK_PEAK, BOUND, COUNTED, OTHER]


def test_ratios_are_taken_repeat_by_repeat():
    times = STOCK.ratio_to(OWN)
    assert times.median == 3.0  # of 3, 4 and 3; the ratio of the medians is 4
    assert (times.low, times.high) == (3.0, 3.5)


def test_ratios_of_unequally_many_repeats_are_those_of_the_medians():
    assert BOUND.ratio_to(OWN).median == 0.25


def test_the_first_contender_of_a_task_is_the_reference():
    assert ratio(OWN, ALL) is None
    assert ratio(OTHER, ALL) is None
    assert ratio(STOCK_PEAK, ALL).median == 4.0


def test_json_keeps_every_figure():
    assert Measurement.from_json(OWN.to_json()) == OWN


def test_a_task_is_printed_with_its_contenders_and_quantities():
    tables = printed_tables(ALL)
    assert list(tables) == ["step", "load"]
    step = tables["step"]
    assert list(step.index) == ["ours", "stock", ROOFLINE]
    assert list(step.columns) == [WALL, PEAK]
    assert step.loc["ours", WALL] == "2 ±25%"
    assert step.loc["stock", PEAK] == "2  4.00x"
    assert step.loc[ROOFLINE, PEAK] == ""
    assert remarks(ALL) == ["step, roofline: 88 GFLOP"]


def test_the_long_table_has_a_row_for_each_measurement():
    table = long_table("case", ALL)
    assert len(table) == len(ALL)
    stock = table[(table["contender"] == "stock") & (table["quantity"] == WALL)].iloc[0]
    assert (stock["median"], stock["ratio"], stock["repeats"]) == (8.0, 3.0, 3)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123456, "0.0123"), (12.34, "12.3"), (1234567.8, "1,234,568")]
)
def test_figures_have_three_digits(value, text):
    assert spoken(value) == text


def test_bars_stand_for_medians_in_a_panel_for_each_quantity():
    figure = bars(ALL, "title")
    assert [axes.get_xlabel() for axes in figure.axes] == [WALL, PEAK, CPU]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [2.0, 8.0, 0.5]


def test_growth_is_drawn_on_logarithmic_axes_beside_a_linear_line():
    lines = {"ingest": ([(10.0, 1.0), (100.0, 20.0)], 1.3)}
    (axes,) = growth_lines(lines, WALL).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    drawn, linear = axes.get_lines()
    assert list(drawn.get_ydata()) == [1.0, 20.0]
    assert list(linear.get_ydata()) == [1.0, 10.0]
    assert "1.30" in drawn.get_label()
