"""Tables: those that ship with scikit-learn, and a file that may be broken."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.validation import InputError
from pipelines.gauss_newton_study.data_options import DataOptions
from pipelines.gauss_newton_study.table_data import (
    SUPERCONDUCTIVITY_TARGET,
    digits_data,
    superconductivity_data,
    wine_data,
)


def test_digits_are_64_pixels_in_one_range() -> None:
    data = digits_data(DataOptions("digits", 1200, 200, 300))
    assert (data.width, data.num_outputs) == (64, 10)
    assert data.train.inputs.min() == -1 and data.train.inputs.max() == 1


def test_wine_is_a_regression_of_even_width() -> None:
    data = wine_data(DataOptions("wine", 106, 36, 36))
    assert (data.width, data.num_outputs, data.is_classification) == (14, 1, False)
    assert data.train.targets.unique().numel() == 3


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns = {f"feature_{number}": rng.normal(size=40) for number in range(3)}
    return pd.DataFrame({**columns, SUPERCONDUCTIVITY_TARGET: rng.gamma(2, 10, 40)})


def test_superconductivity_is_read_from_its_file(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "train.csv", index=False)
    data = superconductivity_data(
        DataOptions("superconductivity", 20, 10, 10), tmp_path / "train.csv"
    )
    assert (data.width, data.num_outputs, len(data.train)) == (4, 1, 20)


def test_every_fault_of_the_file_is_reported(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    options = DataOptions("superconductivity", 20, 10, 10)
    with pytest.raises(InputError, match="cannot be read"):
        superconductivity_data(options, path)
    broken = table.drop(columns=SUPERCONDUCTIVITY_TARGET)
    broken["feature_1"] = "text"
    broken.loc[3, "feature_2"] = np.nan
    broken.to_csv(path, index=False)
    with pytest.raises(InputError) as raised:
        superconductivity_data(options, path)
    columns = {fault.column for fault in raised.value.faults}
    assert columns == {SUPERCONDUCTIVITY_TARGET, "feature_1", "feature_2"}
