import json
import re
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from pipelines import predict

MODEL = "models:/returns@champion"


@pytest.fixture
def scoring(trained_home, run):
    """Runs `predict` in the trained home."""
    return lambda *words: run(predict, "--home", trained_home.folder, *words)


@pytest.fixture
def new_orders(trained_home) -> pd.DataFrame:
    """Orders of a later month: customers and variants partly never seen, no label column."""
    orders = pd.read_csv(trained_home.orders).tail(40).drop(columns="return")
    orders["order_date"] = "2013-01-05"
    orders["order_item_id"] += 10_000
    orders.loc[orders.index[:10], "user_id"] += 5_000
    orders.loc[orders.index[5:15], "item_id"] += 5_000
    return orders


def logged_model(home: Path, name: str) -> str:
    """URI of the model that `train` logged under a name."""
    store = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = store.get_experiment_by_name("returns")
    (run,) = store.search_runs([experiment.experiment_id], f"tags.model = '{name}'")
    (model,) = store.search_logged_models(
        [experiment.experiment_id], f"source_run_id = '{run.info.run_id}'"
    )
    return str(model.model_uri)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_it_scores_new_customers_and_variants_in_row_order(scoring, new_orders, tmp_path, suffix):
    events, out = tmp_path / "new.csv", tmp_path / f"scores{suffix}"
    new_orders.to_csv(events, index=False)
    done = scoring("--model", MODEL, "--events", events, "--out", out)
    assert done.code == 0, done.errors
    scores = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert list(scores.columns) == ["row_id", "probability", "decision"]
    assert scores["row_id"].tolist() == new_orders["order_item_id"].tolist()
    assert scores["probability"].between(0, 1).all()
    assert set(scores["decision"]) <= {0, 1}


def test_a_label_column_changes_nothing(scoring, new_orders, tmp_path):
    results = []
    for number, label in enumerate((None, 0, 1)):
        frame = new_orders if label is None else new_orders.assign(**{"return": label})
        events, out = tmp_path / f"{number}.csv", tmp_path / f"{number}.parquet"
        frame.to_csv(events, index=False)
        scoring("--model", MODEL, "--events", events, "--out", out)
        results.append(pd.read_parquet(out)["probability"].to_numpy())
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_no_score_depends_on_how_many_are_held_at_a_time(scoring, new_orders, tmp_path):
    events = tmp_path / "new.csv"
    new_orders.to_csv(events, index=False)
    scores = []
    for number in (7, 1000):
        out = tmp_path / f"{number}.parquet"
        done = scoring("--model", MODEL, "--events", events, "--out", out, "--rows-at-once", number)
        assert done.code == 0, done.errors
        assert re.search(r"score: done in .* 40 rows, [\d,]+ a second", done.output)
        scores.append(pd.read_parquet(out))
    pd.testing.assert_frame_equal(*scores, check_exact=True)


def test_rows_that_cannot_be_scored_are_set_aside(scoring, new_orders, tmp_path):
    new_orders["item_price"] = new_orders["item_price"].astype(object)
    new_orders.loc[new_orders.index[3], "item_price"] = "cheap"
    events, out = tmp_path / "new.csv", tmp_path / "scores.parquet"
    new_orders.to_csv(events, index=False)
    done = scoring("--model", MODEL, "--events", events, "--out", out)
    assert done.code == 0, done.errors
    rejects = pd.read_parquet(tmp_path / "scores.rejects.parquet")
    assert rejects["row"].tolist() == [4]
    assert "item_price" in rejects["reason"][0]
    assert len(pd.read_parquet(out)) == len(new_orders) - 1


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_reasons_stand_beside_the_scores(trained_home, scoring, new_orders, tmp_path, suffix):
    events, out = tmp_path / "new.csv", tmp_path / f"scores{suffix}"
    new_orders.to_csv(events, index=False)
    model = logged_model(trained_home.folder, "logistic")
    done = scoring("--model", model, "--events", events, "--out", out, "--reasons", 60)
    assert done.code == 0, done.errors
    if suffix == ".csv":
        reasons = pd.read_csv(out)["reasons"].map(json.loads).tolist()
    else:
        reasons = pd.read_parquet(out)["reasons"].tolist()
    assert all(3 < len(each) <= 60 for each in reasons)
    for each in reasons:
        strengths = [abs(reason["log_odds"]) for reason in each]
        assert strengths == sorted(strengths, reverse=True)
    prices = {
        float(reason["value"]): price
        for each, price in zip(reasons, new_orders["item_price"], strict=True)
        for reason in each
        if reason["cause"] == "item_price"
    }
    assert prices
    assert all(value == pytest.approx(price, rel=1e-5) for value, price in prices.items())


def test_bad_input_exits_with_2(scoring, new_orders, tmp_path):
    events = tmp_path / "new.csv"
    new_orders.drop(columns="item_id").to_csv(events, index=False)
    out = tmp_path / "scores.parquet"
    cases = {
        "item_id": ("--model", MODEL, "--events", events, "--out", out),
        "absent.csv": ("--model", MODEL, "--events", tmp_path / "absent.csv", "--out", out),
        "returns@nobody": ("--model", "models:/returns@nobody", "--events", events, "--out", out),
        "--rows-at-once": ("--model", MODEL, "--events", events, "--out", out, "--rows-at-once", 0),
        ".txt": ("--model", MODEL, "--events", events, "--out", tmp_path / "scores.txt"),
    }
    for says, arguments in cases.items():
        done = scoring(*arguments)
        assert done.code == 2, (says, done.errors)
        assert says in done.errors.replace("\n", "")
        assert "Traceback" not in done.errors
    assert not out.exists()
