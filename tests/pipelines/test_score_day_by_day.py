"""The example that tells what fresher labels are worth."""

import re
import runpy
import sys
from pathlib import Path

import pandas as pd
from sklearn.metrics import roc_auc_score

from pipelines import predict

SCRIPT = Path(__file__).parents[2] / "docs" / "examples" / "score_day_by_day.py"


def test_at_once_is_what_predict_gives_and_days_know_more(
    trained_home, tmp_path, monkeypatch, capfd, run
):
    orders = pd.read_csv(trained_home.orders)
    first_day = f"{orders['order_date'].max()[:7]}-01"
    database = f"sqlite:///{trained_home.folder / 'mlflow.db'}"
    words = ["models:/returns@champion", str(trained_home.orders), "--from", first_day]
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, *words, "--tracking-uri", database])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    printed = capfd.readouterr().out.splitlines()
    assert [line[:10].strip() for line in printed] == ["at once", "day by day"]

    month = orders[orders["order_date"] >= first_day]
    assert all(f"{len(month):,} lines" in line for line in printed)
    month.to_csv(tmp_path / "month.csv", index=False)
    options = ("--home", trained_home.folder, "--model", words[0])
    run(predict, *options, "--events", tmp_path / "month.csv", "--out", tmp_path / "scores.csv")
    scores = pd.read_csv(tmp_path / "scores.csv")
    truth = month.set_index("order_item_id")["return"].loc[scores["row_id"]]
    areas = [float(re.search(r"ROC AUC ([\d.]+)", line).group(1)) for line in printed]
    assert round(roc_auc_score(truth, scores["probability"]), 4) == areas[0]
    assert areas[0] != areas[1]
