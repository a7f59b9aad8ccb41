import numpy as np
import pytest

from data.dataset import index_tables
from data.reporter import SilentReporter
from pipelines.experiment import Fitted
from pipelines.resources import Usage
from pipelines.retraining.kept_fits import keep_fit, read_fit
from returns.calibration import Calibration
from returns.memory import Memory, split_tables
from returns.models.registry import create
from returns.predictor import ReturnPredictor
from returns.preparation import Preparation
from returns.protocol import Protocol


def test_a_fit_is_read_as_it_was_kept(dated_tables, tmp_path):
    dataset, _ = index_tables(dated_tables)
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    model = create("logistic", 0, None)
    sets = [preparation.event_set(dataset, part) for part in ("train", "validation", "test")]
    model.fit(sets[0], sets[1], SilentReporter())
    memory = Memory.of(dataset, Protocol.STRICT)
    predictor = ReturnPredictor("orders", {}, preparation, memory, model, Calibration(1.1, 0.4))
    fitted = Fitted(
        predictor,
        model.predict_proba(sets[1]),
        model.predict_proba(sets[2]),
        Usage(1.5, 0.25),
        Usage(0.5, 0.125),
    )
    history = [(0, {"loss": 0.7}), (1, {"loss": 0.6})]
    keep_fit(tmp_path / "fit", fitted, history)
    again, heard = read_fit(tmp_path / "fit")
    assert heard == history
    assert (again.fitting, again.scoring) == (fitted.fitting, fitted.scoring)
    assert np.array_equal(again.validation, fitted.validation)
    assert np.array_equal(again.test, fitted.test)
    new = split_tables(dataset, ("test",), Protocol.STRICT)
    assert again.predictor.score(new).equals(predictor.score(new))


def test_a_fit_is_kept_whole_or_not_at_all(tmp_path):
    with pytest.raises(AttributeError):
        keep_fit(tmp_path / "fit", None, [])
    assert list(tmp_path.iterdir()) == []
