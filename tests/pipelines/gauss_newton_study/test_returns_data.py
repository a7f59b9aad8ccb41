"""Order lines as inputs: the data set's own split, even width, labelled alone."""

import numpy as np
import pytest

from data.dataset import Dataset
from data.validation import InputError
from pipelines.gauss_newton_study.data_options import DataOptions
from pipelines.gauss_newton_study.returns_data import returns_data
from returns.knowledge import EventArrays


def test_features_of_order_lines(dated: Dataset) -> None:
    data = returns_data(DataOptions("returns", 200, 100, 100), dated, "synthetic orders")
    assert [len(part) for part in data.parts.values()] == [200, 100, 100]
    assert data.width % 2 == 0
    assert data.name == "returns of synthetic orders"
    labels = EventArrays.of(dated).returned[dated.split_mask("test")]
    whole = returns_data(DataOptions("returns", None, 100, None), dated, "synthetic orders")
    assert int(whole.test.targets.sum()) == int((labels == 1).sum())
    assert len(whole.train) == int(np.sum(dated.split_mask("train")))


def test_too_few_order_lines_are_reported(dated: Dataset) -> None:
    with pytest.raises(InputError, match="samples of the test part are wanted"):
        returns_data(DataOptions("returns", 10, 10, 10**6), dated, "synthetic orders")
