import pandas as pd
import pytest

from compression.studies.methods import Setting
from pipelines.compression_study import charts, table
from pipelines.compression_study.cells import Cell, CellKey
from pipelines.compression_study.measuring import Row


def make_row(method, stages, sparsity, accuracies):
    cells = tuple(
        Cell(
            CellKey(method, Setting(), stages, sparsity, seed, {}),
            {"test_accuracy": accuracy},
            seconds=2.0 + seed,
            curvature_mib=0.5,
        )
        for seed, accuracy in enumerate(accuracies)
    )
    return Row(method, stages, sparsity, Setting(), cells)


@pytest.fixture
def frame():
    return table.as_frame(
        [
            make_row("magnitude", 1, 0.9, (0.9, 0.92)),
            make_row("magnitude", 1, 0.95, (0.8, 0.8)),
            make_row("chita", 1, 0.9, (0.93, 0.95)),
            make_row("chita", 15, 0.9, (0.95,)),
        ]
    )


def test_rows_have_means_deviations_settings_and_costs(frame):
    first = frame.iloc[0]
    assert first["test_accuracy"] == pytest.approx(0.91)
    assert first["test_accuracy_deviation"] == pytest.approx(0.0141421, rel=1e-4)
    assert first["seconds"] == 2.5
    assert first["damping"] == Setting().damping
    assert pd.isna(frame.iloc[3]["test_accuracy_deviation"])


def test_the_table_to_read_has_methods_by_sparsities(frame):
    found = table.to_read(frame, "test_accuracy", stages=1)
    assert found.loc["magnitude"].tolist() == ["91.00 ± 1.41", "80.00 ± 0.00"]
    assert found.loc["chita"].tolist() == ["94.00 ± 1.41", ""]
    assert table.to_read(frame, "test_accuracy", stages=15).loc["chita"].tolist() == ["95.00"]


def test_markdown_has_a_line_for_each_method(frame):
    lines = table.markdown(table.to_read(frame, "test_accuracy", 1)).splitlines()
    assert lines[0] == "| method | 90% | 95% |"
    assert lines[2] == "| magnitude | 91.00 ± 1.41 | 80.00 ± 0.00 |"


def test_metrics_have_names_that_mlflow_takes(frame):
    found = table.metrics(frame, "test_accuracy")
    assert found["test_accuracy/chita/15-stage/90"] == 0.95
    assert len(found) == len(frame)


def test_a_row_whose_every_seed_diverged_is_not_a_number():
    cell = Cell(CellKey("chita", Setting(), 1, 0.9, 0, {}), {}, 0.0, 0.0)
    rows = [make_row("magnitude", 1, 0.9, (0.9,)), Row("chita", 1, 0.9, Setting(), (cell,))]
    found = table.to_read(table.as_frame(rows), "test_accuracy", 1)
    assert found.loc["chita", "90%"] == "nan"


def test_charts_show_every_method_and_the_dense_network(frame):
    drawn = charts.quality_by_sparsity(frame, "test_accuracy", "accuracy", 0.94, 1, "A network")
    labels = drawn.axes[0].get_legend_handles_labels()[1]
    assert labels == ["dense", "magnitude", "chita"]
    costs = charts.costs(frame, 1, "A network")
    assert [text.get_text() for text in costs.axes[0].get_yticklabels()] == ["magnitude", "chita"]
    # The first method stands on top.
    assert costs.axes[0].yaxis_inverted()


def test_intervals_stand_in_place_of_deviations():
    cell = Cell(
        CellKey("magnitude", Setting(), 1, 0.9, 0, {}),
        {"difference": -0.001, "difference_low": -0.003, "difference_high": 0.0004},
        seconds=1.0,
        curvature_mib=0.0,
    )
    frame = table.as_frame([Row("magnitude", 1, 0.9, Setting(), (cell,))])
    found = table.to_read(frame, "difference", 1, 1.0, 4, has_interval=True)
    assert found.loc["magnitude"].tolist() == ["-0.0010 [-0.0030, 0.0004]"]
