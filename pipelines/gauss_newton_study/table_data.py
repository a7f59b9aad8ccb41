"""Tables of numbers: scikit-learn's digits and wine, and the superconductivity file."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits, load_wine

from data.validation import Fault, InputError
from gn_study.studies.study_data import StudyData, even_width
from pipelines.gauss_newton_study.data_options import DataOptions
from pipelines.gauss_newton_study.parts import cut, standardised

SUPERCONDUCTIVITY_TARGET = "critical_temp"
DIGITS_LARGEST = 16
"""Pixels of scikit-learn's digits run from 0 to 16."""


def digits_data(options: DataOptions) -> StudyData:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels, in [-1, 1]."""
    digits = load_digits()
    pixels = torch.from_numpy(digits.data / (DIGITS_LARGEST / 2) - 1).float()
    return cut(options, pixels, torch.from_numpy(digits.target).long(), len(digits.target_names))


def wine_data(options: DataOptions) -> StudyData:
    """Scikit-learn's copy of UCI Wine (178 rows), its class number regressed as the paper does.

    The paper names this data set for a regression, without saying what is regressed.
    """
    wine = load_wine()
    inputs = torch.from_numpy(wine.data).float()
    targets = torch.from_numpy(wine.target).float().unsqueeze(1)
    return standardised(cut(options, even_width(inputs), targets, 1), targets=True)


def superconductivity_data(options: DataOptions, path: Path) -> StudyData:
    """UCI Superconductivity: 81 columns and the critical temperature, from its `train.csv`.

    Args:
        options: How many rows of each part.
        path: The CSV file.

    Raises:
        InputError: The file lacks the target, or holds what are no numbers.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        message = f"the file cannot be read ({str(error).splitlines()[0]})"
        remedy = "Name `train.csv` of UCI Superconductivity"
        raise InputError([Fault(str(path), message, remedy)]) from error
    faults = []
    if SUPERCONDUCTIVITY_TARGET not in table:
        remedy = "Name `train.csv` of UCI Superconductivity"
        faults.append(Fault(str(path), "the column is missing", remedy, SUPERCONDUCTIVITY_TARGET))
    faults += [
        Fault(str(path), "the column is not all finite numbers", "Mend the file", str(name))
        for name, column in table.items()
        if not (pd.api.types.is_numeric_dtype(column) and np.isfinite(column).all())
    ]
    if faults:
        raise InputError(faults)
    targets = torch.from_numpy(table.pop(SUPERCONDUCTIVITY_TARGET).to_numpy(np.float32))
    inputs = torch.from_numpy(table.to_numpy(np.float32))
    return standardised(cut(options, even_width(inputs), targets.unsqueeze(1), 1), targets=True)
