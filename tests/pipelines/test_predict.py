import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

MODEL = "models:/returns@champion"


def predict(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "pipelines.predict", "--home", str(home), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True)


@pytest.fixture
def new_orders(trained_home) -> pd.DataFrame:
    """Orders of a later month: customers and variants partly never seen, no label column."""
    orders = pd.read_csv(trained_home.orders).tail(40).drop(columns="return")
    orders["order_date"] = "2013-01-05"
    orders["order_item_id"] += 10_000
    orders.loc[orders.index[:10], "user_id"] += 5_000
    orders.loc[orders.index[5:15], "item_id"] += 5_000
    return orders


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_it_scores_new_customers_and_variants_in_row_order(
    trained_home, new_orders, tmp_path, suffix
):
    events, out = tmp_path / "new.csv", tmp_path / f"scores{suffix}"
    new_orders.to_csv(events, index=False)
    done = predict(trained_home.folder, "--model", MODEL, "--events", events, "--out", out)
    assert done.returncode == 0, done.stderr
    scores = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert list(scores.columns) == ["row_id", "probability", "decision"]
    assert scores["row_id"].tolist() == new_orders["order_item_id"].tolist()
    assert scores["probability"].between(0, 1).all()
    assert set(scores["decision"]) <= {0, 1}


def test_a_label_column_changes_nothing(trained_home, new_orders, tmp_path):
    results = []
    for number, label in enumerate((None, 0, 1)):
        frame = new_orders if label is None else new_orders.assign(**{"return": label})
        events, out = tmp_path / f"{number}.csv", tmp_path / f"{number}.parquet"
        frame.to_csv(events, index=False)
        predict(trained_home.folder, "--model", MODEL, "--events", events, "--out", out)
        results.append(pd.read_parquet(out)["probability"].to_numpy())
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_rows_that_cannot_be_scored_are_set_aside(trained_home, new_orders, tmp_path):
    new_orders["item_price"] = new_orders["item_price"].astype(object)
    new_orders.loc[new_orders.index[3], "item_price"] = "cheap"
    events, out = tmp_path / "new.csv", tmp_path / "scores.parquet"
    new_orders.to_csv(events, index=False)
    done = predict(trained_home.folder, "--model", MODEL, "--events", events, "--out", out)
    assert done.returncode == 0, done.stderr
    rejects = pd.read_parquet(tmp_path / "scores.rejects.parquet")
    assert rejects["row"].tolist() == [4]
    assert "item_price" in rejects["reason"][0]
    assert len(pd.read_parquet(out)) == len(new_orders) - 1


def test_bad_input_exits_with_2(trained_home, new_orders, tmp_path):
    events = tmp_path / "new.csv"
    new_orders.drop(columns="item_id").to_csv(events, index=False)
    out = tmp_path / "scores.parquet"
    cases = {
        "item_id": ("--model", MODEL, "--events", events, "--out", out),
        "absent.csv": ("--model", MODEL, "--events", tmp_path / "absent.csv", "--out", out),
        "returns@nobody": ("--model", "models:/returns@nobody", "--events", events, "--out", out),
        ".txt": ("--model", MODEL, "--events", events, "--out", tmp_path / "scores.txt"),
    }
    for says, arguments in cases.items():
        done = predict(trained_home.folder, *arguments)
        assert done.returncode == 2, (says, done.stdout, done.stderr)
        assert says in done.stderr.replace("\n", "")
        assert "Traceback" not in done.stderr
    assert not out.exists()
