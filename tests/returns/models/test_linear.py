from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression

from data.reporter import SilentReporter
from returns.dense import DenseEncoder
from returns.event_set import EventSet
from returns.models.linear import ARRAYS, Logistic


@pytest.fixture(scope="module")
def logistic(train: EventSet, validation: EventSet) -> Logistic:
    model = Logistic(tolerance=1e-6)
    model.fit(train, validation, SilentReporter())
    return model


def test_it_is_the_library_regression_on_dense_features(
    logistic: Logistic, train: EventSet, test_events: EventSet
) -> None:
    encoder = DenseEncoder().fit(train.features, train.weights)
    dense, scored = (
        encoder.transform(events.features).astype(np.float64) for events in (train, test_events)
    )
    referee = LogisticRegression(C=0.1, solver="newton-cholesky", tol=1e-10)
    expected = referee.fit(dense, train.labels).predict_proba(scored)[:, 1]
    np.testing.assert_allclose(logistic.predict_proba(test_events), expected, atol=2e-3)


def test_coefficients_of_another_width_are_refused(logistic: Logistic, tmp_path: Path) -> None:
    logistic.save(tmp_path)
    save_file({"coefficients": np.zeros(3)}, tmp_path / ARRAYS)
    with pytest.raises(ValueError, match="does not match the encoded features"):
        Logistic.load(tmp_path)
