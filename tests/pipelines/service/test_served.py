import json
from dataclasses import replace

import mlflow
import numpy as np
import pytest

from data.validation import InputError
from pipelines import tracking
from pipelines.home import Home
from pipelines.service.served import RefusedRequest, ServedModel, load


def body(*lines, **others) -> bytes:
    return json.dumps({"lines": lines, **others}).encode()


def test_answers_are_the_scores_of_the_predictor_to_the_last_bit(served, lines, new_orders):
    """Through JSON and back, customers and variants never seen among them."""
    answer = json.loads(served.answer(body(*lines)).model_dump_json())
    predictor = served.predictor.predictor
    expected = predictor.score(served.reader.tables_from_frame(new_orders))
    given = answer["lines"]
    assert [line["row_id"] for line in given] == new_orders["order_item_id"].astype(int).tolist()
    assert [line["probability"] for line in given] == expected["probability"].to_pylist()
    assert [line["decision"] for line in given] == expected["decision"].to_pylist()
    assert answer["threshold"] == predictor.calibration.threshold
    assert answer["model"]["version"] == "1"


def test_keys_of_lines_are_echoed_and_may_be_absent_or_alike(served, lines):
    first, second, third = lines[:3]
    asked = [first, {**second, "order_item_id": first["order_item_id"]}]
    asked.append({name: value for name, value in third.items() if name != "order_item_id"})
    given = served.answer(body(*asked)).lines
    assert [line.row_id for line in given] == [first["order_item_id"]] * 2 + [None]
    assert np.isfinite([line.probability for line in given]).all()


def test_what_the_source_sets_aside_names_its_line_and_column(served, lines):
    bad = {**lines[1], "order_date": "1901-01-01"}
    with pytest.raises(RefusedRequest) as refused:
        served.answer(body(lines[0], bad))
    (fault,) = refused.value.faults
    assert fault.loc == ["lines", 1, "order_date"]
    assert "missing or impossible" in fault.msg


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"{", b"null", b"[]", b'"lines"', b"\xff\xfe", b"[" * 100_000,
        b'{"lines":' + b'{"a":' * 50_000, b'{"lines": [{"\\ud800": 1}]}', b"NaN",
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(served, broken):
    with pytest.raises(RefusedRequest):
        served.answer(broken)


def test_faults_are_few_short_and_without_the_values_that_caused_them(served, lines):
    secret = "4111-1111-1111-1111"
    bad = {**lines[0], "item_price": secret, "user_id": secret, "x" * 5000: secret}
    with pytest.raises(RefusedRequest) as refused:
        served.answer(body(*[bad] * 40))
    faults = refused.value.faults
    assert len(faults) == 50
    told = json.dumps([fault.model_dump() for fault in faults], ensure_ascii=False)
    assert secret not in told
    assert len(told) < 50 * 300


def test_reasons_come_with_the_lines_where_they_are_wanted(trained_home, lines):
    tracking.connect(Home.prepare(trained_home.folder))
    logistic = load(model_uri("logistic"), 10)
    for line in logistic.answer(body(*lines[:3], reasons=4)).lines:
        strengths = [abs(reason.log_odds) for reason in line.reasons]
        assert 0 < len(strengths) <= 4
        assert strengths == sorted(strengths, reverse=True)
    assert logistic.answer(body(lines[0])).lines[0].reasons is None


class Coin:
    """A model that gives no reasons, for it has none."""

    name = "coin"

    def predict_proba(self, events):
        return np.full(len(events), 0.5)


def test_a_model_without_reasons_says_so(served, lines):
    predictor = replace(served.predictor.predictor, model=Coin())
    coin = ServedModel.of(predictor, "coin", None, 10)
    assert coin.answer(body(lines[0])).lines[0].probability == 0.5
    with pytest.raises(RefusedRequest) as refused:
        coin.answer(body(lines[0], reasons=1))
    assert refused.value.faults[0].loc == ["reasons"]


def model_uri(model: str) -> str:
    (run,) = mlflow.search_runs(
        experiment_names=[tracking.EXPERIMENT],
        filter_string=f"tags.model = '{model}'",
        output_format="list",
    )
    return f"runs:/{run.info.run_id}/model"


@pytest.mark.parametrize("uri", ["models:/returns@nobody", "models:/returns/77", "nowhere"])
def test_models_that_are_not_there_are_bad_input(trained_home, uri):
    tracking.connect(Home.prepare(trained_home.folder))
    with pytest.raises(InputError, match=uri):
        load(uri, 10)
